package fewstep.web;

import android.content.res.AssetManager;
import android.net.Uri;
import android.webkit.WebResourceRequest;
import android.webkit.WebResourceResponse;
import android.webkit.WebView;
import android.webkit.WebViewClient;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.HashMap;
import java.util.Map;

/** Answers every request of the page out of the APK; the address counts as a secure one, which file:// does not. */
final class Assets extends WebViewClient {
    static final String HOST = "appassets.androidplatform.net"; // kept for this use by Android's makers
    static final String ORIGIN = "https://" + HOST + "/";

    private final AssetManager assets;

    Assets(AssetManager assets) {
        this.assets = assets;
    }

    @Override
    public WebResourceResponse shouldInterceptRequest(WebView view, WebResourceRequest request) {
        Uri url = request.getUrl();
        String path = url.getPath();
        if (!HOST.equals(url.getHost()) || path == null) return missing();
        try {
            String name = path.equals("/") ? "index.html" : path.substring(1);
            return response(200, "OK", type(name), assets.open("site/" + name));
        } catch (IOException error) {
            return missing();
        }
    }

    private static WebResourceResponse missing() {
        return response(404, "Not Found", "text/plain", new ByteArrayInputStream(new byte[0]));
    }

    private static WebResourceResponse response(int status, String reason, String type, InputStream content) {
        Map<String, String> headers = new HashMap<>();
        headers.put("Cross-Origin-Opener-Policy", "same-origin");
        headers.put("Cross-Origin-Embedder-Policy", "require-corp");
        return new WebResourceResponse(type, "utf-8", status, reason, headers, content);
    }

    private static String type(String name) {
        if (name.endsWith(".html")) return "text/html";
        if (name.endsWith(".js") || name.endsWith(".mjs")) return "text/javascript";
        if (name.endsWith(".css")) return "text/css";
        if (name.endsWith(".json") || name.endsWith(".webmanifest")) return "application/json";
        if (name.endsWith(".svg")) return "image/svg+xml";
        if (name.endsWith(".png")) return "image/png";
        return "application/octet-stream";
    }
}
