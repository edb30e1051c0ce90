"""From one person's video or photo to a pack: frames, what each region should show, and the controls it shows it at."""
