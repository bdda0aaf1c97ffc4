"""Where bytes lie: folders, archives, buckets and file systems; each lists files, and reads ranges of them."""
