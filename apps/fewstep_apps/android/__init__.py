"""Android: the web app in an APK that is built here, and the native app as a Gradle project."""
