"""What happens in a work directory, what runs leave behind, and how they compare."""
