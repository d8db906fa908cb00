"""`doctor`: what is wrong on this machine, and what to do. Each check tells, and changes nothing."""
