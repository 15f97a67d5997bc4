"""Result files and the tables rendered from them."""
