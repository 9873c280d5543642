// What needs no Android: manifest, tokenizer, noise, loop, pictures as bytes, the benchmark's report.
plugins { kotlin("jvm") }

kotlin { jvmToolchain(17) }

dependencies {
    implementation("com.google.code.gson:gson:2.10.1")
}
