package fewstep.web;

import android.app.Activity;
import android.os.Bundle;
import android.webkit.WebSettings;
import android.webkit.WebView;

/** The web app in a window of its own. It needs no network, and has no permission for one. */
public final class MainActivity extends Activity {
    private WebView page;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        page = new WebView(this);
        WebSettings settings = page.getSettings();
        settings.setJavaScriptEnabled(true);
        settings.setDomStorageEnabled(true);
        settings.setAllowFileAccess(false);
        page.setWebViewClient(new Assets(getAssets()));
        page.addJavascriptInterface(new Host(this), "Host");
        setContentView(page);
        page.loadUrl(Assets.ORIGIN + "index.html?files=here");
    }

    @Override
    public void onBackPressed() {
        if (page.canGoBack()) page.goBack();
        else super.onBackPressed();
    }

    @Override
    protected void onDestroy() {
        page.destroy();
        super.onDestroy();
    }
}
