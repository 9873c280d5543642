package fewstep.app

import android.content.res.AssetManager
import fewstep.Manifest
import fewstep.TextToImage
import fewstep.Tokenizer
import fewstep.TokenizerFile
import fewstep.Variant
import fewstep.fromJson

/** Somebody no longer wants what is computed. */
class Stopped : Exception("It was stopped.")

/** The bundle among the app's assets, loaded; it takes a second or more, so not on the thread of the screen. */
class Model(assets: AssetManager) : AutoCloseable {
    private val start = System.nanoTime()
    val threads = Runtime.getRuntime().availableProcessors().coerceAtMost(4) // of big and little cores, the little ones slow the rest down
    val manifest: Manifest = fromJson(assets.text("bundle/manifest.json"), Manifest::class.java)
    val variant: Variant = manifest.variants.single()
    private val graphs = variant.components.mapValues { (_, component) ->
        OrtGraph(assets.open("bundle/${component.file}").use { it.readBytes() }, component, threads)
    }
    private val tokenizers = manifest.tokenizers.map { record ->
        Tokenizer(fromJson(assets.text("bundle/${record.file}"), TokenizerFile::class.java), record)
    }
    val textToImage = TextToImage(manifest, variant, graphs, tokenizers)
    val loadMs = (System.nanoTime() - start) / 1e6

    override fun close() = graphs.values.forEach(OrtGraph::close)
}

private fun AssetManager.text(name: String): String = open(name).use { it.readBytes().decodeToString() }
