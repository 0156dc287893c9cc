"""Model families, one a file, each a small frozen description that the stage follows."""
