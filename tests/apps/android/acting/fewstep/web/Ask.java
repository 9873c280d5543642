package fewstep.web;

import android.content.res.AssetManager;
import android.net.Uri;
import android.webkit.WebResourceResponse;
import java.math.BigInteger;
import java.security.MessageDigest;

/** Asks the APK's own Assets for addresses, and prints of every answer status, type, the number of headers and the SHA-256. */
public final class Ask {
    public static void main(String[] addresses) throws Exception {
        Assets assets = new Assets(new AssetManager());
        for (String address : addresses) {
            WebResourceResponse answer = assets.shouldInterceptRequest(null, () -> new Uri(address));
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(answer.data.readAllBytes());
            System.out.printf("%d %s %d %064x%n", answer.status, answer.type, answer.headers.size(), new BigInteger(1, digest));
        }
    }
}
