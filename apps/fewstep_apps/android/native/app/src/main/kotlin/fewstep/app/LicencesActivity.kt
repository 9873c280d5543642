package fewstep.app

import android.app.Activity
import android.os.Bundle
import android.webkit.WebView

/** Of the model and of the software; `fewstep package` wrote the page. */
class LicencesActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(WebView(this).apply { loadUrl("file:///android_asset/licences.html") })
    }
}
