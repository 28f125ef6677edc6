import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import com.google.common.util.concurrent.SettableFuture;
import com.google.firebase.rules.lang.CompileResult;
import com.google.firebase.rules.lang.FirebaseRulesProtoCompiler;
import com.google.firebase.rules.lang.common.FirebaseRulesLangOptions;
import com.google.firebase.rules.runtime.common.AsyncRuntimeFunction;
import com.google.firebase.rules.runtime.common.EvaluationResult;
import com.google.firebase.rules.runtime.evaluators.AuthRuleEvaluator.RuleContext;
import com.google.firebase.rules.runtime.impl.DefaultEvaluator;
import com.google.firebase.rules.runtime.utils.ExpressionValueUtils;
import com.google.firebase.rules.runtime.v1.ExecutionRequest;
import com.google.firebase.rules.runtime.v1.ExecutionResponse;
import com.google.firebase.rules.runtime.v1.ExpressionPathSegmentValue;
import com.google.firebase.rules.runtime.v1.ExpressionValue;
import com.google.firebase.rules.v1.Issue;
import com.google.firebase.rules.v1.Source;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.util.JsonFormat;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;

/**
 * Judges Storage requests by storage.rules, with the rules engine inside the Cloud SDK's Firestore emulator.
 *
 * <p>Stands in for firebase-tools' own rules runtime only where that can't be downloaded. Protocol (one JSON object a
 * line, see firebase-tools' lib/emulator/storage/rules/runtime.js): every reply says status "ok", because the Storage
 * emulator drops any other and leaves its client waiting; a refused ruleset is told by a non-empty "errors". All of it
 * runs on the one reading thread: a rule that needs a document leaves a future behind, completed by a later line.
 */
public final class StorageRules {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  private final FirebaseRulesProtoCompiler compiler =
      FirebaseRulesProtoCompiler.createStandalone(
          FirebaseRulesLangOptions.builder().allowCrossServiceRules(true).allowTernaryOperator(true).build());
  private final Map<String, DefaultEvaluator> rulesets = new HashMap<>();
  private final Map<Long, Verification> waiting = new HashMap<>();

  public static void main(String[] args) throws IOException {
    StorageRules rules = new StorageRules();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    OUT.println("{\"id\":-1,\"status\":\"ok\"}");
    for (String line; (line = in.readLine()) != null; ) {
      JsonObject message = JsonParser.parseString(line).getAsJsonObject();
      long id = message.get("id").getAsLong();
      try {
        rules.handle(id, message);
      } catch (IOException | RuntimeException e) {
        JsonArray errors = new JsonArray();
        errors.add("the local rules engine failed: " + e);
        reply(id, new JsonObject(), errors, new JsonArray());
      }
    }
  }

  private void handle(long id, JsonObject message) throws IOException {
    if (!message.has("action")) { // only the answer to a question of ours comes without one
      waiting.get(id).receive(message);
    } else if (message.get("action").getAsString().equals("load_ruleset")) {
      load(id, message.getAsJsonObject("context"));
    } else {
      Verification verification = new Verification(id);
      waiting.put(id, verification);
      verification.start(message.getAsJsonObject("context"));
    }
  }

  private void load(long id, JsonObject context) throws IOException {
    Source.Builder source = Source.newBuilder();
    JsonFormat.parser().ignoringUnknownFields().merge(context.get("source").toString(), source);
    CompileResult compiled = compiler.compile(source);
    JsonArray errors = new JsonArray();
    JsonArray warnings = new JsonArray();
    for (Issue issue : compiled.getIssues()) {
      var at = issue.getSourcePosition();
      String text = at.getFileName() + ":" + at.getLine() + ":" + at.getColumn() + " " + issue.getDescription();
      (issue.getSeverity() == Issue.Severity.ERROR ? errors : warnings).add(text);
    }
    JsonObject result = new JsonObject();
    if (!compiled.hasCompilationError()) {
      rulesets.put(context.get("rulesetName").getAsString(), new DefaultEvaluator(compiled.getRulesetAst()));
      result.addProperty("rulesVersion", compiled.getRulesetAst().getVersionValue());
    }
    reply(id, result, errors, warnings);
  }

  private static void reply(long id, JsonObject result, JsonArray errors, JsonArray warnings) {
    JsonObject reply = new JsonObject();
    reply.addProperty("id", id);
    reply.addProperty("status", "ok");
    reply.add("result", result);
    reply.add("errors", errors);
    reply.add("warnings", warnings);
    OUT.println(reply);
  }

  /** One request being judged. The emulator files answers under the request's own id: one question at a time. */
  private final class Verification implements FutureCallback<EvaluationResult> {
    private final long id;
    private final Queue<String> paths = new ArrayDeque<>();
    private final Queue<SettableFuture<JsonObject>> documents = new ArrayDeque<>();

    Verification(long id) {
      this.id = id;
    }

    void start(JsonObject context) throws IOException {
      RuleContext.Builder request = RuleContext.builder()
          .service(context.get("service").getAsString())
          .method(context.get("method").getAsString())
          .path(context.get("path").getAsString())
          .supplyFunction(new DocumentFunction("firestore.get", this))
          .supplyFunction(new DocumentFunction("firestore.exists", this));
      for (Map.Entry<String, JsonElement> variable : context.getAsJsonObject("variables").entrySet()) {
        request.supplyVariable(variable.getKey(), expression(variable.getValue()));
      }
      DefaultEvaluator evaluator = rulesets.get(context.get("rulesetName").getAsString());
      Futures.addCallback(evaluator.evaluate(request.build()), this, MoreExecutors.directExecutor());
    }

    ListenableFuture<JsonObject> fetch(String path) {
      SettableFuture<JsonObject> document = SettableFuture.create();
      paths.add(path);
      documents.add(document);
      if (documents.size() == 1) {
        ask();
      }
      return document;
    }

    private void ask() {
      JsonObject context = new JsonObject();
      context.addProperty("path", paths.remove());
      JsonObject question = new JsonObject();
      question.addProperty("server_request_id", id);
      question.addProperty("action", "fetch_firestore_document");
      question.add("context", context);
      OUT.println(question);
    }

    void receive(JsonObject answer) {
      SettableFuture<JsonObject> document = documents.remove();
      if (!documents.isEmpty()) {
        ask();
      }
      document.set(answer.get("status").getAsString().equals("ok") ? answer.getAsJsonObject("result") : null);
    }

    @Override
    public void onSuccess(EvaluationResult result) {
      finish(result.permit(), new JsonArray());
    }

    /** A rule that fails does not allow. */
    @Override
    public void onFailure(Throwable failure) {
      JsonArray warnings = new JsonArray();
      warnings.add(String.valueOf(failure.getMessage()));
      finish(false, warnings);
    }

    private void finish(boolean permit, JsonArray warnings) {
      waiting.remove(id);
      JsonObject result = new JsonObject();
      result.addProperty("permit", permit);
      reply(id, result, new JsonArray(), warnings);
    }
  }

  /** {@code firestore.get(path)}, null where there is no document, and {@code firestore.exists(path)}. */
  private record DocumentFunction(String name, Verification verification) implements AsyncRuntimeFunction {
    @Override
    public ListenableFuture<ExecutionResponse> execute(ExecutionRequest call) {
      StringBuilder path = new StringBuilder();
      for (ExpressionPathSegmentValue segment : call.getArguments(0).getPathValue().getSegmentsList()) {
        path.append('/').append(segment.getSimple());
      }
      return Futures.transform(
          verification.fetch(path.toString()),
          document -> ExpressionValueUtils.createResponse(answer(document)),
          MoreExecutors.directExecutor());
    }

    private ExpressionValue answer(JsonObject document) {
      if (name.equals("firestore.exists")) {
        return ExpressionValueUtils.createValue(document != null);
      }
      if (document == null) {
        return ExpressionValueUtils.NULL;
      }
      JsonObject fields = document.has("fields") ? document.getAsJsonObject("fields") : new JsonObject();
      JsonObject resource = new JsonObject();
      resource.add("data", map(fields));
      try {
        return expression(wrap("map_value", wrap("fields", resource)));
      } catch (IOException e) {
        throw new IllegalStateException("a Firestore document the rules engine can't read", e);
      }
    }
  }

  private static ExpressionValue expression(JsonElement json) throws IOException {
    ExpressionValue.Builder value = ExpressionValue.newBuilder();
    JsonFormat.parser().ignoringUnknownFields().merge(json.toString(), value);
    return value.build();
  }

  /** Firestore's JSON form of a value, in the rules engine's: the same tree with other names. */
  private static JsonObject value(JsonObject firestore) {
    Map.Entry<String, JsonElement> kind = firestore.entrySet().iterator().next();
    JsonElement content = kind.getValue();
    return switch (kind.getKey()) {
      case "booleanValue" -> wrap("bool_value", content);
      case "integerValue" -> wrap("int_value", content);
      case "doubleValue" -> wrap("float_value", content);
      case "geoPointValue" -> wrap("latlng_value", content);
      case "referenceValue" -> wrap("string_value", content); // the real engine: a path; our rules use none
      case "mapValue" -> map(content.getAsJsonObject().has("fields")
          ? content.getAsJsonObject().getAsJsonObject("fields") : new JsonObject());
      case "arrayValue" -> {
        JsonArray values = new JsonArray();
        if (content.getAsJsonObject().has("values")) {
          content.getAsJsonObject().getAsJsonArray("values").forEach(v -> values.add(value(v.getAsJsonObject())));
        }
        yield wrap("list_value", wrap("values", values));
      }
      default -> wrap(kind.getKey().replace("Value", "_value"), content); // null, string, bytes, timestamp
    };
  }

  private static JsonObject map(JsonObject fields) {
    JsonObject values = new JsonObject();
    fields.entrySet().forEach(field -> values.add(field.getKey(), value(field.getValue().getAsJsonObject())));
    return wrap("map_value", wrap("fields", values));
  }

  private static JsonObject wrap(String name, JsonElement content) {
    JsonObject object = new JsonObject();
    object.add(name, content);
    return object;
  }
}
