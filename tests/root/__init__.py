"""What only root can try: small file systems, and apps of other users. Skipped for everybody else."""
