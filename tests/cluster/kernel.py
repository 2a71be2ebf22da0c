"""A real Jupyter kernel that tests send cells to."""

import sys
from collections.abc import Callable
from contextlib import suppress

import psutil
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner


class Kernel:
    """A kernel, and what its last cell printed (`outputs`), displayed as text (`displayed`) and failed with (`errors`)."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        # This interpreter, whatever kernels the machine has been told about.
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=argv, language="python")
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=240)
        self.outputs: list[tuple[str, str]] = []
        self.displayed: list[str] = []
        self.errors: list[str] = []

    def run(self, code: str, on_output: Callable[[str], None] = lambda _text: None) -> str:
        """Execute a cell and return its standard output; raises AssertionError with its error."""
        self.outputs, self.displayed, self.errors = [], [], []

        def keep(message: dict) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                self.outputs.append((content["name"], content["text"]))
                on_output(content["text"])
            elif message["msg_type"] == "display_data":
                self.displayed.append(content["data"]["text/plain"])
            elif message["msg_type"] == "error":
                self.errors.append("\n".join(content["traceback"]))

        reply = self.client.execute_interactive(code, timeout=240, output_hook=keep)["content"]
        if reply["status"] != "ok":
            raise AssertionError(f"{reply['ename']}: {reply['evalue']}")
        assert all(name == "stdout" for name, _ in self.outputs)
        return "".join(text for _, text in self.outputs)

    def process(self) -> psutil.Process:
        assert isinstance(self.manager.provisioner, LocalProvisioner)
        assert self.manager.provisioner.process is not None
        return psutil.Process(self.manager.provisioner.process.pid)

    def close(self) -> None:
        self.client.stop_channels()
        with suppress(RuntimeError):
            self.manager.shutdown_kernel(now=True)
