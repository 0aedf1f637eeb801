"""Clients of the original service work unchanged, in Python and in a real browser.

The tests' own clients do what the contract's do, step by step. Where the contract's own files are at
hand, they run too, to the letter.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

CONTRACT_PORT = 7688
JAVA_CLIENT = Path(__file__).with_name("Submit.java")

PAGE = """<!doctype html><meta charset="utf-8">
<input type="file" id="imageInput"><input type="file" id="audioInput"><button id="submitBtn">go</button>
<script>%s</script>"""

OWN_JAVASCRIPT = """
document.getElementById('submitBtn').addEventListener('click', async () => {
  const form = new FormData();
  form.append('reference_image', document.getElementById('imageInput').files[0]);
  form.append('audio_file', document.getElementById('audioInput').files[0]);
  form.append('length', 10);
  const post = await fetch('%(url)s/generate_video', {method: 'POST', body: form});
  const task = await post.json();
  const timer = setInterval(async () => {
    const status = await (await fetch('%(url)s/task/' + task.task_id)).json();
    if (status.status !== 'completed' && status.status !== 'failed') return;
    clearInterval(timer);
    const link = document.createElement('a');
    link.href = '%(url)s/download/' + task.task_id;
    link.textContent = status.status;
    document.body.appendChild(link);
  }, 300);
});
"""


@pytest.fixture
def contract_port(service):
    """Lets the service be reached where the contract's clients look for it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", CONTRACT_PORT))
        except OSError:
            pytest.skip(f"port {CONTRACT_PORT}, which the contract's clients use, is taken")
        listener.listen()
        threading.Thread(target=forward_all, args=(listener, service.port), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def forward_all(listener, port):
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", port))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=forward, args=(source, sink), daemon=True).start()


def forward(source, sink):
    # Either side may hang up at any moment.
    with sink, contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


def use_page(browser, folder, script, image, audio):
    """Open the page from disk, choose both files, click, wait for the link, follow it."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    page = folder / "page.html"
    page.write_text(PAGE % script, encoding="utf-8")
    browser.get(page.as_uri())
    browser.find_element(By.ID, "imageInput").send_keys(str(image))
    browser.find_element(By.ID, "audioInput").send_keys(str(audio))
    browser.find_element(By.ID, "submitBtn").click()
    link = WebDriverWait(browser, 120).until(lambda it: it.find_elements(By.TAG_NAME, "a"))[0]
    text, task_id = link.text, link.get_attribute("href").rsplit("/", 1)[1]
    link.click()
    video = WebDriverWait(browser, 30).until(lambda _: next(iter(folder.glob("*.mp4")), None))
    return text, task_id, video


def test_a_python_client_that_names_its_files_wrongly_gets_its_video(service, astronaut_file, speech_file):
    with astronaut_file.open("rb") as image, speech_file.open("rb") as audio:
        files = {
            "reference_image": ("image.png", image, "image/png"),
            "audio_file": ("audio.wav", audio, "audio/wav"),
        }
        data = {"width": 128, "height": 128, "steps": 6}
        task_id = requests.post(f"{service.url}/generate_video", files=files, data=data).json()["task_id"]
    service.wait(task_id)
    assert requests.get(f"{service.url}/task/{task_id}").json()["status"] == "completed"
    with requests.get(f"{service.url}/download/{task_id}", stream=True) as response:
        assert response.status_code == 200
        assert next(response.iter_content(chunk_size=8192))[4:8] == b"ftyp"


def test_java_s_own_client_submits_a_task(service, astronaut_file, speech_file):
    if not shutil.which("java"):
        pytest.skip("Java is not installed (Debian: apt-get install openjdk-17-jdk-headless)")
    command = ["java", JAVA_CLIENT, service.url, astronaut_file, speech_file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    submitted, health = (line.split(" ", 2) for line in done.stdout.splitlines())
    assert submitted[:2] == health[:2] == ["HTTP_1_1", "200"]
    assert service.wait(json.loads(submitted[2])["task_id"])["status"] == "completed"


def test_curl_submits_a_task_while_it_offers_http_2(service, astronaut_file, speech_file):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    files = ["-F", f"reference_image=@{astronaut_file}", "-F", f"audio_file=@{speech_file}", "-F", "length=2"]
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--http2",
        *files,
        f"{service.url}/generate_video/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "pending"


def test_a_page_opened_from_disk_gets_its_video(service, browser, tmp_path, astronaut_file, speech_file):
    script = OWN_JAVASCRIPT % {"url": service.url}
    text, task_id, video = use_page(browser, tmp_path, script, astronaut_file, speech_file)
    assert text == "completed"
    assert task_id in video.name
    assert video.read_bytes()[4:8] == b"ftyp"


def test_the_contract_s_python_client_runs_to_the_letter(
    contract_port, shared_folder, tmp_path, astronaut_file, speech_file
):
    shutil.copy(astronaut_file, tmp_path / "reference.png")
    shutil.copy(speech_file, tmp_path / "audio.wav")
    client = shared_folder / "contract" / "client.py"
    done = subprocess.run([sys.executable, client], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "视频下载成功" in done.stdout
    assert (tmp_path / "output_video.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_contract_s_browser_client_runs_to_the_letter(
    contract_port, shared_folder, browser, tmp_path, astronaut_file, speech_file
):
    script = (shared_folder / "contract" / "client.js").read_text(encoding="utf-8")
    text, _, video = use_page(browser, tmp_path, script, astronaut_file, speech_file)
    assert text == "下载生成的视频"
    assert video.read_bytes()[4:8] == b"ftyp"
