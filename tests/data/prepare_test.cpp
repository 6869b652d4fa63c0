#include "pointwork/data/prepare.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <set>

#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

using Texts = std::vector<std::string>;

PrepareOptions job(std::vector<fs::path> inputs, const fs::path& out) {
  return {.inputs = std::move(inputs), .out = out, .source = {}, .progress = {}};
}

// Whole content of a folder, to compare data sets by.
std::vector<std::pair<std::string, std::string>> all_of(const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const std::string& name : names_in(folder))
    all.emplace_back(name, content_of(folder / name));
  return all;
}

TEST(Prepare, DocumentsEndWithAMarkAndGoWholeToOneSplit) {
  const TemporaryFolder folder;
  PrepareOptions options =
      job({write(folder / "in.jsonl", json_lines(2000))}, folder / "data" / "set");
  options.validation_share = 0.1;
  options.shard_tokens = 5000;
  const Manifest manifest = prepare(options, byte_encoder());
  EXPECT_EQ(read_manifest(options.out).hash(), manifest.hash());
  const Texts train = documents_of(options.out, Split::train),
              validation = documents_of(options.out, Split::validation);
  Texts both = train;
  both.insert(both.end(), validation.begin(), validation.end());
  EXPECT_EQ(std::set<std::string>(both.begin(), both.end()).size(), 2000u);
  int64_t bytes = 0;
  for (const std::string& text : both) {
    EXPECT_TRUE(text.starts_with("document "));
    EXPECT_EQ(text.find('$'), text.size() - 1);
    bytes += static_cast<int64_t>(text.size()) - 1;
  }
  EXPECT_EQ(manifest.train.source_bytes + manifest.validation.source_bytes, bytes);
  EXPECT_EQ(manifest.train.tokens + manifest.validation.tokens, bytes + 2000);
  EXPECT_EQ(manifest.train.documents, static_cast<int64_t>(train.size()));
  // Five standard deviations of a binomial draw of 2000 by 0.1.
  EXPECT_NEAR(static_cast<double>(validation.size()), 200, 5 * 13.4);
  EXPECT_EQ(names_in(folder / "data"), Texts({"set"}));

  const Dataset data(options.out);
  EXPECT_EQ(data.hash(), manifest.hash());
  EXPECT_EQ(data.tokenizer_hash(), byte_encoder().hash);
  EXPECT_NEAR(data.bytes_per_token(Split::train), 0.97, 0.02);
  EXPECT_EQ(content_of(options.out / "tokenizer.json"), "{}");
}

TEST(Prepare, TheSeedChoosesValidationAndNothingElseDoes) {
  const TemporaryFolder folder;
  const fs::path in = write(folder / "in.jsonl", json_lines(500));
  const auto made = [&](const char* name, int64_t seed, int threads, size_t piece) {
    PrepareOptions options = job({in}, folder / name);
    options.seed = seed;
    options.threads = threads;
    options.validation_share = 0.2;
    options.source.piece_bytes = piece;
    prepare(options, byte_encoder());
    return all_of(folder / name);
  };
  const auto one = made("a", 1, 1, 1 << 22);
  EXPECT_EQ(one, made("b", 1, 7, 1 << 22));
  EXPECT_EQ(one, made("c", 1, 2, 10));
  EXPECT_NE(documents_of(folder / "a", Split::validation),
            (made("d", 2, 1, 1 << 22), documents_of(folder / "d", Split::validation)));
}

TEST(Prepare, ManyBatchesInParallelKeepTheOrder) {
  const TemporaryFolder folder;
  std::string lines, expected;
  for (int i = 0; i < 300; ++i) {
    const std::string text =
        concat(i, ":", std::string(static_cast<size_t>(i * 7919 % 70000), 'y'));
    lines += "{\"text\": \"" + text + "\"}\n";
    expected += text + "$";
  }
  ASSERT_GT(lines.size(), size_t{2} << 22);
  PrepareOptions options = job({write(folder / "in.jsonl", lines)}, folder / "data");
  options.threads = 4;
  options.validation_share = 0;
  int64_t calls = 0;
  PrepareProgress last;
  options.progress = [&](const PrepareProgress& now) {
    ++calls;
    EXPECT_GE(now.bytes_done, last.bytes_done);
    EXPECT_LE(now.bytes_done, now.bytes_total);
    last = now;
  };
  prepare(options, byte_encoder());
  std::string found;
  for (const std::string& text : documents_of(options.out, Split::train)) found += text;
  EXPECT_TRUE(found == expected);
  EXPECT_GE(calls, 3);
  EXPECT_EQ(last.documents, 300);
  EXPECT_EQ(last.tokens, static_cast<int64_t>(expected.size()));
  EXPECT_EQ(last.bytes_done, lines.size());
  EXPECT_EQ(last.bytes_total, lines.size());
}

TEST(Prepare, FewDocumentsAreHeldOutBySize) {
  const TemporaryFolder folder;
  std::vector<fs::path> inputs;
  for (int i = 0; i < 20; ++i)
    inputs.push_back(write(folder / concat("in", i, ".txt"), concat(i, std::string(999, 'x'))));
  inputs.push_back(write(folder / "large.txt", std::string(20000, 'z')));
  const PrepareOptions options = job(inputs, folder / "data");
  prepare(options, byte_encoder());
  const Texts train = documents_of(options.out, Split::train),
              validation = documents_of(options.out, Split::validation);
  EXPECT_EQ(train.size() + validation.size(), 21u);
  ASSERT_EQ(validation.size(), 1u);
  EXPECT_LT(validation[0].size(), 2000u);
  EXPECT_EQ(names_in(options.out), Texts({"dataset.json", "tokenizer.json", "train-00000.tokens",
                                          "validation-00000.tokens"}));
  EXPECT_NO_THROW(Dataset{options.out});
}

TEST(Prepare, ASingleDocumentGivesItsEnd) {
  for (int64_t seed = 1; seed <= 40; ++seed) {
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; i < 2000; ++i) text += static_cast<char>('a' + i % 26);
    PrepareOptions options = job({write(folder / "in.txt", text)}, folder / "data");
    options.validation_share = 0.1;
    options.seed = seed;
    options.shard_tokens = 300;
    std::vector<std::string> notes;
    options.source.note = [&](const std::string& note) { notes.push_back(note); };
    prepare(options, byte_encoder());
    const Texts train = documents_of(options.out, Split::train),
                validation = documents_of(options.out, Split::validation);
    ASSERT_EQ(train.size(), 1u);
    ASSERT_EQ(validation.size(), 1u);
    EXPECT_EQ(train[0] + validation[0], text + "$");
    EXPECT_EQ(validation[0].size(), 200u);
    ASSERT_EQ(notes.size(), 1u);
    expect_in(notes[0], {"too few documents", "200 tokens"});
  }
}

TEST(Prepare, NoValidationWhereNoneIsAskedFor) {
  const TemporaryFolder folder;
  PrepareOptions options = job({write(folder / "in.txt", "some text")}, folder / "data");
  options.validation_share = 0;
  const Manifest manifest = prepare(options, byte_encoder());
  EXPECT_EQ(manifest.validation.tokens, 0);
  EXPECT_EQ(documents_of(options.out, Split::train), Texts({"some text$"}));
  options.out = folder / "other";
  for (const double share : {-0.1, 1.0, 2.0}) {
    options.validation_share = share;
    expect_in(error_of([&] { prepare(options, byte_encoder()); }), {"validation share"});
  }
}

TEST(Prepare, TokenFilesAreDividedAtTheirMarks) {
  const TemporaryFolder folder;
  const auto bin = [&](const char* name, const std::vector<uint16_t>& ids) {
    return write(folder / name,
                 std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * 2));
  };
  int made = 0;
  const auto documents = [&](const fs::path& input) {
    PrepareOptions options = job({input}, folder / concat("data", made++));
    options.validation_share = 0;
    const Manifest manifest = prepare(options, byte_encoder());
    EXPECT_EQ(manifest.train.source_bytes + manifest.train.documents, manifest.train.tokens);
    return documents_of(options.out, Split::train);
  };
  const Texts expected = {"ab$", "c$"};
  EXPECT_EQ(documents(bin("after.bin", {'a', 'b', 256, 'c', 256})), expected);   // nanoGPT
  EXPECT_EQ(documents(bin("before.bin", {256, 'a', 'b', 256, 'c'})), expected);  // llm.c
  expect_in(error_of([&] {
              documents(bin("other.bin", {'a', 300}));
            }),
            {"other.bin", "id 300", "0 .. 256", "another tokenizer"});
  expect_in(error_of([&] { documents(bin("marks.bin", {256, 256})); }), {"no document"});
}

TEST(Prepare, ErrorsLeaveNothing) {
  const TemporaryFolder folder;
  const fs::path good = write(folder / "good.txt", std::string(100, 'x')),
                 bad = write(folder / "bad.txt", "caf\xE9");
  expect_in(error_of([&] {
              prepare(job({good, bad}, folder / "out"), byte_encoder());
            }),
            {"bad.txt"});
  expect_in(error_of([&] {
              prepare(job({good, folder / "nowhere"}, folder / "out"), byte_encoder());
            }),
            {"nowhere"});
  PrepareOptions stopped = job({good}, folder / "out");
  stopped.progress = [](const PrepareProgress&) { fail("stop"); };
  EXPECT_EQ(error_of([&] { prepare(stopped, byte_encoder()); }), "stop");
  TextEncoder failing = byte_encoder();
  failing.encode = [](std::string_view, std::vector<int32_t>&) { fail("encoder"); };
  EXPECT_EQ(error_of([&] { prepare(job({good}, folder / "out"), failing); }), "encoder");
  write(folder / "file", "x");
  expect_in(error_of([&] { prepare(job({good}, folder / "file" / "out"), byte_encoder()); }),
            {"file"});
  EXPECT_EQ(names_in(folder.path()), Texts({"bad.txt", "file", "good.txt"}));
}

TEST(Prepare, ReplacesOnlyADataSetAndOnlyWhenTold) {
  const TemporaryFolder folder;
  const fs::path in = write(folder / "in.txt", std::string(100, 'x'));
  PrepareOptions options = job({in}, folder / "data");
  prepare(options, byte_encoder());
  const auto before = all_of(options.out);
  expect_in(error_of([&] { prepare(options, byte_encoder()); }),
            {"data exists already", "--force"});
  EXPECT_EQ(all_of(options.out), before);
  write(in, std::string(200, 'y'));
  options.replace = true;
  prepare(options, byte_encoder());
  EXPECT_EQ(ids_of(options.out, Split::train).front(), 'y');

  write(folder / "precious" / "thesis.txt", "text");
  PrepareOptions wrong = job({in}, folder / "precious");
  wrong.replace = true;
  expect_in(error_of([&] { prepare(wrong, byte_encoder()); }), {"precious", "no data set"});
  wrong = job({options.out / "more.txt"}, options.out);
  write(options.out / "more.txt", "text");
  wrong.replace = true;
  expect_in(error_of([&] { prepare(wrong, byte_encoder()); }), {"more.txt", "overlaps"});
  wrong.inputs = {folder.path()};
  expect_in(error_of([&] { prepare(wrong, byte_encoder()); }), {"overlaps"});
  EXPECT_EQ(names_in(folder.path()), Texts({"data", "in.txt", "precious"}));
}

// Killed at `calls` reports of progress, or at the end of writing the shards.
void run_killed(const PrepareOptions& base, int calls) {
  const pid_t child = fork();
  if (child == 0) {
    PrepareOptions options = base;
    options.progress = [&](const PrepareProgress&) {
      if (calls-- == 0) raise(SIGKILL);
    };
    try {
      prepare(options, byte_encoder());
    } catch (...) {
      _exit(3);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(Prepare, KilledHalfWayLeavesNothingThatLooksFinished) {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < size_t{5} << 22) text += "some words ";
  PrepareOptions options = job({write(folder / "in.txt", text)}, folder / "set" / "data");
  options.source.piece_bytes = 1 << 20;
  for (const int calls : {0, 1, 2, 4}) {
    run_killed(options, calls);
    const Texts left = names_in(folder / "set");
    ASSERT_EQ(left.size(), 1u);  // the run before was cleaned up
    EXPECT_TRUE(left[0].starts_with("data.tmp-"));
    EXPECT_FALSE(fs::exists(folder / "set" / left[0] / kDatasetFile));
    EXPECT_THROW(Dataset{options.out}, Error);
    EXPECT_THROW(Dataset{folder / "set" / left[0]}, Error);
  }
  // What a living process writes is left alone, and so are other names.
  const std::string living = concat("data.tmp-", getppid());
  fs::create_directory(folder / "set" / living);
  fs::create_directory(folder / "set" / "data.tmp-x");
  prepare(options, byte_encoder());
  EXPECT_EQ(names_in(folder / "set"), Texts({"data", living, "data.tmp-x"}));
  // Killed between the two renames of a replacement.
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  const auto before = all_of(options.out);
  fs::rename(options.out, concat(options.out.string(), ".old-", gone));
  expect_in(error_of([&] { prepare(options, byte_encoder()); }), {"exists already"});
  EXPECT_EQ(all_of(options.out), before);
}

}  // namespace
}  // namespace pointwork::test
