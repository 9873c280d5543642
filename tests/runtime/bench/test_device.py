"""The device, without the names of a person or a machine."""

import getpass
import json
import os
import platform
import re
from datetime import datetime

from fewstep.bench.device import physical_cores, this_device
from fewstep.records import from_json, to_json


def test_the_device_is_described() -> None:
    device = this_device()
    assert 1 <= device.cores <= device.logical_cores <= (os.cpu_count() or 1)
    assert device.cores == physical_cores()
    assert device.processor
    assert device.system.startswith(platform.system())
    assert {"numpy", "onnxruntime", "tokenizers", "pillow"} <= device.packages.keys()
    assert device.packages["numpy"][0].isdigit()
    assert datetime.fromisoformat(device.date).utcoffset() is not None


def test_it_names_neither_user_nor_host_and_survives_json() -> None:
    device = this_device()
    words = re.findall(r"[\w.-]+", json.dumps(to_json(device)))
    assert platform.node() not in words
    assert getpass.getuser() not in words
    assert from_json(type(device), json.loads(json.dumps(to_json(device))), "device") == device
