plugins {
    id("com.android.application")
    kotlin("android")
}

android {
    namespace = "fewstep.app"
    compileSdk = 34
    defaultConfig {
        applicationId = providers.gradleProperty("fewstep.applicationId").getOrElse("fewstep.app")
        minSdk = 29 // shared pictures without a permission
        targetSdk = 34
        versionCode = 1
        versionName = "0.1.0"
    }
    androidResources { noCompress += listOf("ort", "onnx") }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { jvmToolchain(17) }

dependencies {
    implementation(project(":core"))
    implementation("com.google.code.gson:gson:2.10.1")
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.20.0")
}
