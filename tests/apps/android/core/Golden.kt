package fewstep

import java.io.File

/** A file of the repository's tests/data, which Python's tests are run against too. */
fun <T> golden(name: String, type: Class<T>): T =
    fromJson(File(System.getProperty("fewstep.data"), name).readText(), type)
