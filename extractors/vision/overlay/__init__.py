"""What is drawn over a clip: the face's box and outline, the running score, captions."""
