"""The page with the phones, which `make local` serves to browsers on this machine."""
