"""`liveportrait`: a photo driven by the face in a video, by LivePortrait's networks with the user's weights."""
