"""Read and write bytes safely."""
