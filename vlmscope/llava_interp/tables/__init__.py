"""What tables of records share: losses beside their controls, columns as people read them, published numbers."""
