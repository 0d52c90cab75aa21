"""Files that the media package ships."""
