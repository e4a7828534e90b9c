"""Video sources and what a query may see of them."""
