"""What a server needs: container, proxy, and what is known of the packages in it."""
