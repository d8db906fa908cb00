from slot_machine.cli import main

main()
