import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

/** Submits a task with the client of the JDK as it comes: java Submit.java URL IMAGE SOUND */
public class Submit {
    private static final String BOUNDARY = "between-two-parts";

    public static void main(String[] arguments) throws Exception {
        var form = new ByteArrayOutputStream();
        part(form, "reference_image\"; filename=\"portrait", Files.readAllBytes(Path.of(arguments[1])));
        part(form, "audio_file\"; filename=\"speech", Files.readAllBytes(Path.of(arguments[2])));
        part(form, "length", "2".getBytes());
        form.write(("--" + BOUNDARY + "--\r\n").getBytes());

        var client = HttpClient.newHttpClient();
        var address = URI.create(arguments[0]);
        var post = HttpRequest.newBuilder(address.resolve("/generate_video"))
                .header("Content-Type", "multipart/form-data; boundary=" + BOUNDARY)
                .POST(HttpRequest.BodyPublishers.ofByteArray(form.toByteArray()));
        print(client.send(post.build(), HttpResponse.BodyHandlers.ofString()));
        print(client.send(HttpRequest.newBuilder(address.resolve("/health")).build(),
                HttpResponse.BodyHandlers.ofString()));
    }

    private static void part(ByteArrayOutputStream form, String name, byte[] content) throws IOException {
        var head = "--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n";
        form.write(head.getBytes());
        form.write(content);
        form.write("\r\n".getBytes());
    }

    private static void print(HttpResponse<String> answer) {
        System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
    }
}
