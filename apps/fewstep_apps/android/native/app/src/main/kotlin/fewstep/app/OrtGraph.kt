package fewstep.app

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import fewstep.Component
import fewstep.Floats
import fewstep.Graph
import fewstep.Ints
import fewstep.Port
import fewstep.Tensor
import java.nio.FloatBuffer
import java.nio.IntBuffer

/** A graph in ONNX Runtime, on the CPU. */
class OrtGraph(content: ByteArray, private val component: Component, threads: Int) : Graph, AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(threads)
        environment.createSession(content, options)
    }

    override fun run(feeds: Map<String, Tensor>, batch: Int): Map<String, FloatArray> {
        val inputs = component.inputs.associate { it.name to tensor(it, feeds.getValue(it.name), batch) }
        try {
            session.run(inputs).use { outputs ->
                return component.outputs.associate { it.name to floats(outputs.get(it.name).get() as OnnxTensor) }
            }
        } finally {
            inputs.values.forEach(OnnxTensor::close)
        }
    }

    override fun close() = session.close()

    private fun tensor(port: Port, tensor: Tensor, batch: Int): OnnxTensor {
        val shape = longArrayOf(batch.toLong()) + port.row.map(Int::toLong)
        return when (tensor) {
            is Floats -> OnnxTensor.createTensor(environment, FloatBuffer.wrap(tensor.values), shape)
            is Ints -> OnnxTensor.createTensor(environment, IntBuffer.wrap(tensor.values), shape)
        }
    }
}

private fun floats(tensor: OnnxTensor): FloatArray {
    val buffer = tensor.floatBuffer
    return FloatArray(buffer.remaining()).also { buffer.get(it) }
}
