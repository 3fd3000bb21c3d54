"""Pages and crops of real PDFs."""
