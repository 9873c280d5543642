package android.net;

public class Uri {
    private final java.net.URI uri;

    public Uri(String text) {
        uri = java.net.URI.create(text);
    }

    public String getPath() {
        return uri.getPath();
    }

    public String getHost() {
        return uri.getHost();
    }
}
