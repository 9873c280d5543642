"""The CUDA calls on a real GPU; no TensorRT is needed."""

import numpy as np

from fewstep.engines.cuda import Cuda


def test_bytes_go_to_the_gpu_and_come_back(cuda: Cuda) -> None:
    a, b = cuda.pinned((3, 5), "float32"), cuda.pinned((3, 5), "float32")
    a[:] = np.arange(15).reshape(3, 5)
    first, second = cuda.allocate(a.nbytes), cuda.allocate(a.nbytes)
    cuda.upload(first, a)
    cuda.move(second, first, a.nbytes)
    cuda.download(b, second)
    cuda.synchronize()
    assert np.array_equal(a, b)
    cuda.free(first)
    cuda.free(second)


def test_a_recording_does_nothing_before_it_is_launched_and_the_same_every_time(cuda: Cuda) -> None:
    a, b = cuda.pinned((4,), "float32"), cuda.pinned((4,), "float32")
    address = cuda.allocate(a.nbytes)
    a[:], b[:] = 1, 0
    with cuda.capture() as recording:
        cuda.upload(address, a)
        cuda.download(b, address)
    cuda.synchronize()
    assert not b.any()
    for value in (2.0, 3.0):
        a[:] = value
        recording.launch()
        cuda.synchronize()
        assert (b == value).all()


def test_the_capability_is_two_numbers(cuda: Cuda) -> None:
    major, _, minor = cuda.compute_capability.partition(".")
    assert int(major) >= 5 and minor.isdigit()
