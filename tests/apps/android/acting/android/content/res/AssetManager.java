package android.content.res;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** The assets of the APK in the property `apk`. */
public final class AssetManager {
    public InputStream open(String name) throws IOException {
        ZipFile apk = new ZipFile(System.getProperty("apk"));
        ZipEntry entry = apk.getEntry("assets/" + name);
        if (entry == null || entry.isDirectory()) throw new FileNotFoundException(name);
        return apk.getInputStream(entry);
    }
}
