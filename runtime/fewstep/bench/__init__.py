"""`fewstep bench`: how fast a bundle draws on this device, how much memory it takes, and where the time goes."""
