"""The page, served for real and asked over HTTP. Gradio has bounds that clash with the tested set (constraints.txt): install it apart."""

from pathlib import Path

import pytest

from fewstep.pipeline import Pipeline
from fewstep_apps.jetson.page import build_page

gradio = pytest.importorskip("gradio", reason="the extra [jetson] is not installed")


@pytest.mark.filterwarnings("ignore")  # of the libraries under Gradio, which nobody here can act on
def test_the_page_draws_what_the_pipeline_draws(tiny_bundle: Path, tmp_path: Path) -> None:
    from gradio_client import Client
    from PIL import Image

    pipeline = Pipeline(tiny_bundle, "fp32", threads=1)
    page = build_page(pipeline)
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        client = Client(address, verbose=False, download_files=str(tmp_path))
        file, said = client.predict("a red heart", 7, api_name="/draw")
        with Image.open(file) as picture:
            assert picture.tobytes() == pipeline.generate("a red heart", 7).tobytes()
        assert "ms," in said
        with pytest.raises(Exception, match="tokens"):
            client.predict("a red heart " * 50, 7, api_name="/draw")
    finally:
        page.close()
