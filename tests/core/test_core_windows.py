"""Windows: leases that export their records through the buffer protocol without a copy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsb import _core, errors
from dsb.stream.binary import find_ffmpeg

PAGE = 4096


def ring_of(pushed: int, *, capacity: int = 4, record_bytes: int = PAGE) -> _core.EmbeddingRing:
    """A ring whose record n consists of bytes n."""
    ring = _core.EmbeddingRing(record_bytes=record_bytes, capacity=capacity)
    for number in range(pushed):
        ring.push(bytes([number]) * record_bytes, number * 100)
    return ring


def expected(numbers: range, record_bytes: int = PAGE) -> np.ndarray:
    return np.repeat(np.array(numbers, np.uint8)[:, None], record_bytes, axis=1)


def test_arrays_look_at_the_memory_of_the_ring() -> None:
    ring = ring_of(3)
    all_records, second = np.asarray(ring.window(0, 3)), np.asarray(ring.window(1, 2))
    assert np.shares_memory(all_records, second)
    assert all_records.ctypes.data + PAGE == second.ctypes.data
    assert (all_records.dtype, all_records.shape) == (np.uint8, (3, PAGE))
    np.testing.assert_array_equal(all_records, expected(range(3)))


def test_a_window_across_the_seam_is_contiguous() -> None:
    ring = ring_of(6, capacity=4)
    assert (ring.capacity, ring.oldest, ring.newest) == (4, 2, 6)
    window = ring.window(2, 6)
    assert window.contiguous
    assert np.asarray(window).flags.c_contiguous
    assert bytes(window) == expected(range(2, 6)).tobytes()
    np.testing.assert_array_equal(
        np.frombuffer(window, np.uint8), expected(range(2, 6)).reshape(-1)
    )


def test_torch_reads_a_window_across_the_seam_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    window = ring_of(6).window(2, 6)
    with pytest.warns(UserWarning, match="not writable"):
        tensor = torch.frombuffer(window, dtype=torch.float16)
    assert tensor.data_ptr() == np.asarray(window).ctypes.data
    assert tensor.numel() == 4 * PAGE // 2


def test_a_strided_window_refuses_whoever_expects_contiguous_bytes() -> None:
    window = ring_of(8, capacity=8).window(1, 8, 3)
    assert not window.contiguous
    np.testing.assert_array_equal(np.asarray(window), expected(range(1, 8, 3)))
    assert memoryview(window).tolist() == expected(range(1, 8, 3)).tolist()
    assert bytes(window) == expected(range(1, 8, 3)).tobytes()
    for consume in (np.frombuffer, hashlib.sha256):
        with pytest.raises(BufferError, match=r"back to back|not C-contiguous"):
            consume(window)


def test_records_with_padding_between_them_are_a_strided_window() -> None:
    ring = ring_of(4, capacity=3, record_bytes=5000)
    window = ring.window(1, 4)
    assert not window.contiguous
    assert ring.window(1, 2).contiguous
    np.testing.assert_array_equal(np.asarray(window), expected(range(1, 4), 5000))
    with pytest.raises(BufferError, match="back to back"):
        hashlib.sha256(window)


def test_nobody_writes_through_a_window() -> None:
    window = ring_of(2).window(0, 2)
    array = np.asarray(window)
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    with pytest.raises(TypeError):
        memoryview(window)[0, 0] = 1


def test_an_empty_window_is_an_empty_array() -> None:
    window = ring_of(2).window(1, 1)
    assert (len(window), window.ids, window.pts_ns, window.shape) == (0, (), (), (0, PAGE))
    assert np.asarray(window).shape == (0, PAGE)
    assert window.digests() == ()


def test_a_window_tells_ids_times_and_shape() -> None:
    window = ring_of(3).window(0, 3, 2)
    assert (window.ids, window.pts_ns, window.shape) == ((0, 2), (0, 200), (2, PAGE))
    assert len(window) == 2
    assert repr(window) == f"Window(shape=[2, {PAGE}], ids 0..=2)"


def test_digests_are_the_first_half_of_blake3() -> None:
    # The test vector of one zero byte in the BLAKE3 reference implementation.
    assert ring_of(1, record_bytes=1).window(0, 1).digests() == (
        "2d3adedff11b61f14c886e35afa03673",
    )
    first, second = ring_of(2).window(0, 2).digests()
    assert first != second


def test_digests_are_computed_once_and_outlive_the_lease() -> None:
    ring = ring_of(4)
    window = ring.window(0, 2)
    digests = window.digests()
    window.release()
    ring.push(bytes([9]) * PAGE, 400)
    ring.push(bytes([8]) * PAGE, 500)
    # The slots of records 0 and 1 hold records 4 and 5 now.
    assert window.digests() is digests
    assert ring.window(4, 6).digests() != digests
    assert ring_of(2).window(0, 2).digests() == digests


def test_threads_that_ask_for_digests_together_get_the_same_ones() -> None:
    window = ring_of(4, record_bytes=4 << 20).window(0, 4)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(window.digests) for _ in range(4)]
    assert len({id(each.result()) for each in asked}) == 1
    assert len(set(window.digests())) == 4


# -- leases -----------------------------------------------------------------------------------


def test_a_lease_pins_its_records_until_the_last_array_is_gone() -> None:
    ring = ring_of(4)
    array = np.asarray(ring.window(0, 2))[1]
    assert ring.stats().pinned == 2
    with pytest.raises(errors.RingFull):
        ring.push(bytes(PAGE), 400)
    np.testing.assert_array_equal(array, expected(range(1, 2))[0])
    del array
    assert ring.stats().pinned == 0
    assert ring.push(bytes(PAGE), 400) == 4


def test_a_window_is_not_released_under_an_array() -> None:
    ring = ring_of(4)
    window = ring.window(0, 2)
    array = np.asarray(window)
    with pytest.raises(BufferError, match="still looks at"):
        window.release()
    np.testing.assert_array_equal(array, expected(range(2)))
    del array
    window.release()
    window.release()
    assert ring.stats().pinned == 0
    with pytest.raises(BufferError, match="released"):
        memoryview(window)
    with pytest.raises(ValueError, match="released"):
        window.digests()
    assert window.ids == (0, 1)


def test_a_with_block_gives_the_records_back() -> None:
    ring = ring_of(4)
    with ring.window(0, 2) as window:
        total = int(np.asarray(window).sum())
    assert total == PAGE
    assert ring.stats().pinned == 0


def test_a_with_block_complains_about_an_array_that_outlives_it() -> None:
    with pytest.raises(BufferError), ring_of(4).window(0, 2) as window:
        kept = np.asarray(window)
    assert kept.shape == (2, PAGE)


def test_a_with_block_does_not_hide_the_failure_inside_it() -> None:
    def fail() -> None:
        with ring_of(4).window(0, 2) as window:
            kept = np.asarray(window)
            raise KeyError(kept.shape)

    with pytest.raises(KeyError):
        fail()


def test_records_outlive_their_ring() -> None:
    array = np.asarray(ring_of(3).window(0, 3))
    np.testing.assert_array_equal(array, expected(range(3)))


# -- pushing ----------------------------------------------------------------------------------


def test_whole_records_of_any_item_type_are_pushed_at_once() -> None:
    ring = _core.EmbeddingRing(record_bytes=8, capacity=4)
    patches = np.arange(12, dtype=np.float32).reshape(3, 2, 2)[:, :, 0].copy()
    assert ring.push(patches, 50) == 0
    window = ring.window(0, 3)
    assert window.pts_ns == (50, 50, 50)
    assert bytes(window) == patches.tobytes()


def test_what_is_pushed_must_be_whole_contiguous_records_in_time_order() -> None:
    ring = ring_of(2, record_bytes=8)
    with pytest.raises(ValueError, match="whole records"):
        ring.push(bytes(9), 500)
    with pytest.raises(BufferError, match="ascontiguousarray"):
        ring.push(np.zeros((4, 4), np.uint8)[:, ::2], 500)
    with pytest.raises(ValueError, match="follows"):
        ring.push(bytes(8), 99)
    with pytest.raises(TypeError):
        ring.push("bytes!!!", 500)  # type: ignore[arg-type]
    assert ring.newest == 2


# -- frames -----------------------------------------------------------------------------------


@pytest.fixture
def source() -> Iterator[_core.FrameSource]:
    """Twenty frames of 48x32 pixels at 5 frames per second."""
    argv = [str(find_ffmpeg()), "-nostdin", "-loglevel", "level+warning"]
    argv += ["-f", "lavfi", "-i", "testsrc=size=48x32:rate=5:duration=4"]
    argv += ["-c:v", "rawvideo", "-pix_fmt", "rgb24", "-f", "nut", "pipe:1"]
    with _core.FrameSource(argv, name="clip", capacity=32) as source:
        assert not source.frames.wait(20)
        yield source


def test_frames_are_arrays_of_height_width_and_colour(source: _core.FrameSource) -> None:
    assert (source.size, source.frames.newest, source.frames.finished) == ((48, 32), 20, True)
    window = source.frames.window(0, 20)
    frames = np.asarray(window)
    assert frames.shape == (20, 32, 48, 3)
    assert window.pts_ns == tuple(number * 200_000_000 for number in range(20))
    assert len(set(window.digests())) > 1


def test_frames_without_a_common_distance_are_shown_too(source: _core.FrameSource) -> None:
    # At 2 of 5 frames per second the distances alternate between 2 and 3.
    spec = _core.WindowSpec(max_frames=8, span_ns=2_000_000_000, rate=(2, 1))
    window = source.frames.at(3_000_000_000, spec)
    assert window.ids == (7, 10, 12, 15)
    assert window.contiguous
    every = np.asarray(source.frames.window(0, 20))
    np.testing.assert_array_equal(np.asarray(window), every[list(window.ids)])


def test_the_ring_and_the_pure_function_select_the_same_frames(source: _core.FrameSource) -> None:
    pts_ns = source.frames.window(0, 20).pts_ns
    for rate in (None, (1, 1), (2, 1), (5, 1), (30, 7)):
        spec = _core.WindowSpec(max_frames=6, span_ns=1_500_000_000, rate=rate)
        for t_ns in range(0, 4_000_000_000, 170_000_000):
            window = source.frames.at(t_ns, spec)
            assert list(window.ids) == _core.select(spec, pts_ns, t_ns)
            assert all(pts <= t_ns for pts in window.pts_ns)


def test_windows_stay_valid_after_the_source_is_closed(source: _core.FrameSource) -> None:
    window = source.frames.window(3, 5)
    before = window.digests()
    source.close()
    assert window.digests() == before
    assert source.decode_cpu_ns > 0
