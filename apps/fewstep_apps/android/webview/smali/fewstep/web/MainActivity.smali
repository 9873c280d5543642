.class public final Lfewstep/web/MainActivity;
.super Landroid/app/Activity;


# instance fields
.field private page:Landroid/webkit/WebView;


# direct methods
.method public constructor <init>()V
    .registers 1

    invoke-direct {p0}, Landroid/app/Activity;-><init>()V

    return-void
.end method


# virtual methods
.method public onBackPressed()V
    .registers 2

    iget-object v0, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    invoke-virtual {v0}, Landroid/webkit/WebView;->canGoBack()Z

    move-result v0

    if-eqz v0, :cond_e

    iget-object p0, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    invoke-virtual {p0}, Landroid/webkit/WebView;->goBack()V

    goto :goto_11

    :cond_e
    invoke-super {p0}, Landroid/app/Activity;->onBackPressed()V

    :goto_11
    return-void
.end method

.method protected onCreate(Landroid/os/Bundle;)V
    .registers 4

    invoke-super {p0, p1}, Landroid/app/Activity;->onCreate(Landroid/os/Bundle;)V

    new-instance p1, Landroid/webkit/WebView;

    invoke-direct {p1, p0}, Landroid/webkit/WebView;-><init>(Landroid/content/Context;)V

    iput-object p1, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    invoke-virtual {p1}, Landroid/webkit/WebView;->getSettings()Landroid/webkit/WebSettings;

    move-result-object p1

    const/4 v0, 0x1

    invoke-virtual {p1, v0}, Landroid/webkit/WebSettings;->setJavaScriptEnabled(Z)V

    invoke-virtual {p1, v0}, Landroid/webkit/WebSettings;->setDomStorageEnabled(Z)V

    const/4 v0, 0x0

    invoke-virtual {p1, v0}, Landroid/webkit/WebSettings;->setAllowFileAccess(Z)V

    iget-object p1, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    new-instance v0, Lfewstep/web/Assets;

    invoke-virtual {p0}, Lfewstep/web/MainActivity;->getAssets()Landroid/content/res/AssetManager;

    move-result-object v1

    invoke-direct {v0, v1}, Lfewstep/web/Assets;-><init>(Landroid/content/res/AssetManager;)V

    invoke-virtual {p1, v0}, Landroid/webkit/WebView;->setWebViewClient(Landroid/webkit/WebViewClient;)V

    iget-object p1, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    new-instance v0, Lfewstep/web/Host;

    invoke-direct {v0, p0}, Lfewstep/web/Host;-><init>(Landroid/app/Activity;)V

    const-string v1, "Host"

    invoke-virtual {p1, v0, v1}, Landroid/webkit/WebView;->addJavascriptInterface(Ljava/lang/Object;Ljava/lang/String;)V

    iget-object p1, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    invoke-virtual {p0, p1}, Lfewstep/web/MainActivity;->setContentView(Landroid/view/View;)V

    iget-object p0, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    const-string p1, "https://appassets.androidplatform.net/index.html?files=here"

    invoke-virtual {p0, p1}, Landroid/webkit/WebView;->loadUrl(Ljava/lang/String;)V

    return-void
.end method

.method protected onDestroy()V
    .registers 2

    iget-object v0, p0, Lfewstep/web/MainActivity;->page:Landroid/webkit/WebView;

    invoke-virtual {v0}, Landroid/webkit/WebView;->destroy()V

    invoke-super {p0}, Landroid/app/Activity;->onDestroy()V

    return-void
.end method
