"""Forms as clients really send them, byte by byte."""

import asyncio

import pytest

from serve_app.api.form_request import FormRequest
from tests.serve_app.local_api import local_api

FORM = "multipart/form-data; boundary=B"


@pytest.fixture
def api(tmp_path, sqlite_journal):
    return local_api(tmp_path, sqlite_journal)


def body_of(*parts):
    """A form of these parts, each a Content-Disposition and its content."""
    texts = [
        b"--B\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (disposition.encode("latin-1"), content)
        for disposition, content in parts
    ]
    return b"".join([*texts, b"--B--\r\n"])


def read(*parts):
    """What a form of these parts comes to: name and text, or name and size of a file."""

    async def receive():
        return {"type": "http.request", "body": body_of(*parts)}

    async def items():
        form = await FormRequest(scope, receive).form()
        found = [
            (name, value if isinstance(value, str) else value.size) for name, value in form.multi_items()
        ]
        await form.close()
        return found

    scope = {"type": "http", "headers": [(b"content-type", FORM.encode())]}
    return asyncio.run(items())


@pytest.fixture
def post(api):
    """Sends a form of these parts."""

    def send(*parts, content_type=FORM):
        headers = {"Content-Type": content_type}
        return api.post("/generate_video", content=body_of(*parts), headers=headers)

    return send


@pytest.fixture
def files(astronaut_file, speech_file):
    """The parts of both files, in their usual form."""
    return [
        ('form-data; name="reference_image"; filename="a.png"', astronaut_file.read_bytes()),
        ('form-data; name="audio_file"; filename="a.wav"', speech_file.read_bytes()),
    ]


def refusal(response):
    """The error of an answer, with what is allowed."""
    assert response.status_code == 422, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request"
    return error


@pytest.mark.parametrize(
    "name",
    [
        "filename*=utf-8''%E7%85%A7%E7%89%87.png",
        "filename*=UTF-8'zh'%E7%85%A7",
        "filename*=iso-8859-1'en'%A3%20rates",
        "FILENAME*=utf-8''a",
        "filename* = utf-8''a",
        "filename*=\"utf-8''a;b\"",
        "filename*0*=utf-8''%E7%85; filename*1*=%A7; filename*2=.png",
        "filename*1=b; filename*0=a",
        "filename*=a; filename*0=b",
        "filename*=",
        "filename*=utf-8''%ZZ%E7",
        "filename*=nonsense''%E7",
        "filename*=\xe7\x85\xa7",
        "filename*=utf-8''../../etc/passwd",
        "filename*=utf-8''a; filename*=utf-8''b",
        "filename=\"a.png\"; filename*=utf-8''%E7%85%A7",
        "filename*=utf-8''%E7%85%A7; filename=a.png",
        'filename="=?utf-8?B?54Wn54mH?="',
    ],
)
def test_a_part_is_a_file_in_every_form_in_which_clients_name_one(name):
    parts = [(f'form-data; name="after"; {name}', b"1"), (f'form-data; {name}; name="before"', b"22")]
    assert read(*parts) == [("after", 1), ("before", 2)]


@pytest.mark.parametrize("name", ["utf-8''5\" photo.png", "\"utf-8''a.png", '"a\\"'])
def test_a_quote_in_a_name_that_is_never_closed_makes_no_text_of_a_file(name):
    assert read((f'form-data; name="it"; filename*={name}', b"1")) == [("it", 1)]


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="it"',
        'form-data; name="it"; x="; filename*=utf-8\'\'a"',
        "form-data; name=\"it\"; myfilename*=utf-8''a",
        "form-data; name=\"it\"; filenames*=utf-8''a",
    ],
)
def test_a_part_that_names_no_file_is_text(disposition):
    assert read((disposition, b"text")) == [("it", "text")]


def test_files_named_in_the_old_way_become_a_task(post, files):
    parts = [
        (disposition.replace("filename=", "filename*=utf-8''").replace('"', ""), content)
        for disposition, content in files
    ]
    assert post(*parts).json()["status"] == "pending"


def test_a_file_sent_as_text_is_told_to_be_one(post, files):
    error = refusal(post(('form-data; name="reference_image"', b"me.png"), files[1]))
    assert (error["field"], error["allowed"]) == ("reference_image", "a file")
    assert error["message"] == "reference_image must be sent as a file"


class TestABody:
    @pytest.mark.parametrize(
        ("content_type", "named"),
        [
            ("application/json", "not as 'application/json'"),
            ("application/json; charset=utf-8", "not as 'application/json'"),
            ("application/vnd.api+json", "not as 'application/vnd.api+json'"),
            ("application/x-www-form-urlencoded", "not as 'application/x-www-form-urlencoded'"),
            ("multipart/mixed; boundary=B", "not as 'multipart/mixed'"),
            ("image/png", "not as 'image/png'"),
            ("text/" + "x" * 5000, "not as 'text/xxx"),
            (None, "sent as multipart/form-data"),
        ],
    )
    def test_that_is_no_multipart_form_is_told_to_be_one(self, api, content_type, named):
        headers = {} if content_type is None else {"Content-Type": content_type}
        response = api.post("/generate_video", content=b'{"reference_image": "a"}', headers=headers)
        error = refusal(response)
        assert (error["field"], error["allowed"]) == ("Content-Type", "multipart/form-data")
        assert "multipart/form-data" in error["message"]
        assert named in error["message"]
        assert len(error["message"]) < 200

    @pytest.mark.parametrize(
        "content_type", ["Multipart/Form-Data; boundary=B", 'multipart/form-data;boundary="B"']
    )
    def test_may_write_its_type_in_any_case(self, post, files, content_type):
        assert post(*files, content_type=content_type).status_code == 200

    def test_of_a_form_without_a_boundary_is_refused(self, post, files):
        response = post(*files, content_type="multipart/form-data")
        assert (response.status_code, response.json()["error"]["type"]) == (400, "bad_request")


class TestAField:
    @pytest.mark.parametrize(
        ("name", "values"),
        {
            "width": (b"256", b"512"),
            "seed": (b"1", b"1", b"1"),
            "length": (b"", b"4"),
            "engine": (b"auto", b"preview"),
            "webhook_url": (b"https://a.example", b"https://b.example"),
        }.items(),
    )
    def test_that_is_sent_twice_is_named(self, post, files, name, values):
        error = refusal(post(*files, *((f'form-data; name="{name}"', value) for value in values)))
        assert error["field"] == name
        assert error["message"] == f"{name} was sent {len(values)} times; send it once"
        assert error["allowed"]

    def test_that_is_a_file_is_also_sent_once(self, post, files):
        error = refusal(post(*files, files[0]))
        assert (error["field"], error["allowed"]) == ("reference_image", "a file")

    def test_that_is_unknown_is_ignored_however_often_it_comes(self, post, files):
        unknown = ('form-data; name="mood"', b"calm")
        assert post(*files, unknown, unknown).status_code == 200

    @pytest.mark.parametrize(
        ("name", "value", "wanted"),
        [
            ("width", "２５６", "should be a valid integer"),
            ("cfg", "much", "should be a valid number"),
            ("consent", "maybe", "should be a valid boolean"),
            ("fps", "1/0", "should be a number or a fraction of two whole numbers"),
        ],
    )
    def test_that_cannot_be_read_is_told_in_few_words(self, post, files, name, value, wanted):
        error = refusal(post(*files, (f'form-data; name="{name}"', value.encode())))
        assert error["field"] == name
        assert error["message"] == f"{name}: {wanted}, not {value!r}"

    @pytest.mark.parametrize("name", ["seed", "cfg", "device", "engine", "webhook_url"])
    def test_that_is_no_file_is_not_sent_as_one(self, post, files, name):
        error = refusal(post(*files, (f'form-data; name="{name}"; filename="blob"', b"1")))
        assert error["field"] == name
        assert error["message"] == f"{name} must be sent as text, not as a file"
        assert error["allowed"]
