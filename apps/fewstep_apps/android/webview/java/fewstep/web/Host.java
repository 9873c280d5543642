package fewstep.web;

import android.app.Activity;
import android.content.ContentResolver;
import android.content.ContentValues;
import android.content.Intent;
import android.net.Uri;
import android.provider.MediaStore;
import android.util.Base64;
import android.webkit.JavascriptInterface;
import java.io.IOException;
import java.io.OutputStream;

/** What the page asks of Android: a WebView neither downloads nor shares. Every method returns what went wrong, or "". */
final class Host {
    private final Activity activity;

    Host(Activity activity) {
        this.activity = activity;
    }

    /** Puts a PNG among the pictures of the phone. */
    @JavascriptInterface
    public String save(String name, String base64) {
        try {
            stored(name, base64);
            return "";
        } catch (IOException | RuntimeException error) {
            return String.valueOf(error.getMessage());
        }
    }

    /** Puts a PNG there, and offers it to other apps. */
    @JavascriptInterface
    public String share(String name, String base64) {
        try {
            Intent send = new Intent(Intent.ACTION_SEND);
            send.setType("image/png");
            send.putExtra(Intent.EXTRA_STREAM, stored(name, base64));
            send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
            activity.startActivity(Intent.createChooser(send, null));
            return "";
        } catch (IOException | RuntimeException error) {
            return String.valueOf(error.getMessage());
        }
    }

    private Uri stored(String name, String base64) throws IOException {
        ContentValues about = new ContentValues();
        about.put("_display_name", name);
        about.put("mime_type", "image/png");
        about.put("relative_path", "Pictures/fewstep");
        ContentResolver resolver = activity.getContentResolver();
        Uri place = resolver.insert(MediaStore.Images.Media.EXTERNAL_CONTENT_URI, about);
        if (place == null) throw new IOException("the phone has no place for pictures");
        try (OutputStream file = resolver.openOutputStream(place)) {
            file.write(Base64.decode(base64, Base64.DEFAULT));
        }
        return place;
    }
}
