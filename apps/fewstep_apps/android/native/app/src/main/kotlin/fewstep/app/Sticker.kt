package fewstep.app

import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.provider.MediaStore
import java.io.IOException

/** A finished picture with its transparent background, and a name for its file. */
class Sticker(val bitmap: Bitmap, private val text: String, private val seed: ULong) {
    /** Puts the PNG among the pictures of the phone. Throws IOException. */
    fun save(context: Context): Uri {
        val name = "${text.replace(Regex("[^\\p{L}\\p{N}]+"), "-").take(60)}-$seed.png"
        val about = ContentValues().apply {
            put("_display_name", name)
            put("mime_type", "image/png")
            put("relative_path", "Pictures/fewstep")
        }
        val resolver = context.contentResolver
        val place = resolver.insert(MediaStore.Images.Media.EXTERNAL_CONTENT_URI, about) ?: throw IOException("the phone has no place for pictures")
        val file = resolver.openOutputStream(place) ?: throw IOException("the place for pictures cannot be written")
        file.use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        return place
    }

    /** Puts it there, and offers it to other apps. */
    fun share(context: Context) {
        val send = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, save(context))
        context.startActivity(Intent.createChooser(send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION), text))
    }
}

/** (channels, H, W) in [0, 1] with premultiplied alpha as a bitmap. */
fun bitmap(image: FloatArray, size: Int): Bitmap = Bitmap.createBitmap(fewstep.toArgb(image, size), size, size, Bitmap.Config.ARGB_8888)
