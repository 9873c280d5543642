.class final Lfewstep/web/Assets;
.super Landroid/webkit/WebViewClient;


# static fields
.field static final HOST:Ljava/lang/String; = "appassets.androidplatform.net"

.field static final ORIGIN:Ljava/lang/String; = "https://appassets.androidplatform.net/"


# instance fields
.field private final assets:Landroid/content/res/AssetManager;


# direct methods
.method constructor <init>(Landroid/content/res/AssetManager;)V
    .registers 2

    invoke-direct {p0}, Landroid/webkit/WebViewClient;-><init>()V

    iput-object p1, p0, Lfewstep/web/Assets;->assets:Landroid/content/res/AssetManager;

    return-void
.end method

.method private static missing()Landroid/webkit/WebResourceResponse;
    .registers 4

    new-instance v0, Ljava/io/ByteArrayInputStream;

    const/4 v1, 0x0

    new-array v1, v1, [B

    invoke-direct {v0, v1}, Ljava/io/ByteArrayInputStream;-><init>([B)V

    const/16 v1, 0x194

    const-string v2, "Not Found"

    const-string v3, "text/plain"

    invoke-static {v1, v2, v3, v0}, Lfewstep/web/Assets;->response(ILjava/lang/String;Ljava/lang/String;Ljava/io/InputStream;)Landroid/webkit/WebResourceResponse;

    move-result-object v0

    return-object v0
.end method

.method private static response(ILjava/lang/String;Ljava/lang/String;Ljava/io/InputStream;)Landroid/webkit/WebResourceResponse;
    .registers 12

    new-instance v5, Ljava/util/HashMap;

    invoke-direct {v5}, Ljava/util/HashMap;-><init>()V

    const-string v0, "Cross-Origin-Opener-Policy"

    const-string v1, "same-origin"

    invoke-interface {v5, v0, v1}, Ljava/util/Map;->put(Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object;

    const-string v0, "Cross-Origin-Embedder-Policy"

    const-string v1, "require-corp"

    invoke-interface {v5, v0, v1}, Ljava/util/Map;->put(Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object;

    new-instance v7, Landroid/webkit/WebResourceResponse;

    const-string v2, "utf-8"

    move-object v0, v7

    move-object v1, p2

    move v3, p0

    move-object v4, p1

    move-object v6, p3

    invoke-direct/range {v0 .. v6}, Landroid/webkit/WebResourceResponse;-><init>(Ljava/lang/String;Ljava/lang/String;ILjava/lang/String;Ljava/util/Map;Ljava/io/InputStream;)V

    return-object v7
.end method

.method private static type(Ljava/lang/String;)Ljava/lang/String;
    .registers 2

    const-string v0, ".html"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-eqz v0, :cond_b

    const-string p0, "text/html"

    return-object p0

    :cond_b
    const-string v0, ".js"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-nez v0, :cond_54

    const-string v0, ".mjs"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-eqz v0, :cond_1c

    goto :goto_54

    :cond_1c
    const-string v0, ".css"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-eqz v0, :cond_27

    const-string p0, "text/css"

    return-object p0

    :cond_27
    const-string v0, ".json"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-nez v0, :cond_51

    const-string v0, ".webmanifest"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-eqz v0, :cond_38

    goto :goto_51

    :cond_38
    const-string v0, ".svg"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result v0

    if-eqz v0, :cond_43

    const-string p0, "image/svg+xml"

    return-object p0

    :cond_43
    const-string v0, ".png"

    invoke-virtual {p0, v0}, Ljava/lang/String;->endsWith(Ljava/lang/String;)Z

    move-result p0

    if-eqz p0, :cond_4e

    const-string p0, "image/png"

    return-object p0

    :cond_4e
    const-string p0, "application/octet-stream"

    return-object p0

    :cond_51
    :goto_51
    const-string p0, "application/json"

    return-object p0

    :cond_54
    :goto_54
    const-string p0, "text/javascript"

    return-object p0
.end method


# virtual methods
.method public shouldInterceptRequest(Landroid/webkit/WebView;Landroid/webkit/WebResourceRequest;)Landroid/webkit/WebResourceResponse;
    .registers 7

    invoke-interface {p2}, Landroid/webkit/WebResourceRequest;->getUrl()Landroid/net/Uri;

    move-result-object p1

    invoke-virtual {p1}, Landroid/net/Uri;->getPath()Ljava/lang/String;

    move-result-object p2

    invoke-virtual {p1}, Landroid/net/Uri;->getHost()Ljava/lang/String;

    move-result-object p1

    const-string v0, "appassets.androidplatform.net"

    invoke-virtual {v0, p1}, Ljava/lang/String;->equals(Ljava/lang/Object;)Z

    move-result p1

    if-eqz p1, :cond_52

    if-nez p2, :cond_17

    goto :goto_52

    :cond_17
    :try_start_17
    const-string p1, "/"

    invoke-virtual {p2, p1}, Ljava/lang/String;->equals(Ljava/lang/Object;)Z

    move-result p1

    if-eqz p1, :cond_22

    const-string p1, "index.html"

    goto :goto_27

    :cond_22
    const/4 p1, 0x1

    invoke-virtual {p2, p1}, Ljava/lang/String;->substring(I)Ljava/lang/String;

    move-result-object p1

    :goto_27
    const/16 p2, 0xc8

    const-string v0, "OK"

    invoke-static {p1}, Lfewstep/web/Assets;->type(Ljava/lang/String;)Ljava/lang/String;

    move-result-object v1

    iget-object p0, p0, Lfewstep/web/Assets;->assets:Landroid/content/res/AssetManager;

    new-instance v2, Ljava/lang/StringBuilder;

    invoke-direct {v2}, Ljava/lang/StringBuilder;-><init>()V

    const-string v3, "site/"

    invoke-virtual {v2, v3}, Ljava/lang/StringBuilder;->append(Ljava/lang/String;)Ljava/lang/StringBuilder;

    move-result-object v2

    invoke-virtual {v2, p1}, Ljava/lang/StringBuilder;->append(Ljava/lang/String;)Ljava/lang/StringBuilder;

    move-result-object p1

    invoke-virtual {p1}, Ljava/lang/StringBuilder;->toString()Ljava/lang/String;

    move-result-object p1

    invoke-virtual {p0, p1}, Landroid/content/res/AssetManager;->open(Ljava/lang/String;)Ljava/io/InputStream;

    move-result-object p0

    invoke-static {p2, v0, v1, p0}, Lfewstep/web/Assets;->response(ILjava/lang/String;Ljava/lang/String;Ljava/io/InputStream;)Landroid/webkit/WebResourceResponse;

    move-result-object p0
    :try_end_4c
    .catch Ljava/io/IOException; {:try_start_17 .. :try_end_4c} :catch_4d

    return-object p0

    :catch_4d
    invoke-static {}, Lfewstep/web/Assets;->missing()Landroid/webkit/WebResourceResponse;

    move-result-object p0

    return-object p0

    :cond_52
    :goto_52
    invoke-static {}, Lfewstep/web/Assets;->missing()Landroid/webkit/WebResourceResponse;

    move-result-object p0

    return-object p0
.end method
