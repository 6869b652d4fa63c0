// What is written: never over something else, whole or not at all; and what a terminal shows.

#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

struct Writer {
  std::string name;
  Words arguments;  // without where to
  bool folder;      // or a file
  long long most;   // bytes a file may have: too few for what it writes
};

// Every verb that writes one output.
std::vector<Writer> writers() {
  put(world().at("list.json"), "[[1, 2, 3]]");
  return {
      {"tokenizer", {"tokenizer", "train", world().corpus(), "--vocab-size", "300"}, true, 4096},
      {"prepare", {"prepare", world().corpus(), "--tokenizer", world().tokenizer()}, true, 16384},
      {"logits", {"logits", world().run(), "--ids", world().at("list.json")}, false, 1024},
      {"report", {"report", world().run()}, false, 4096},
  };
}

Words to(const Writer& writer, const fs::path& out, const Words& more = {}) {
  Words all = writer.arguments;
  all.insert(all.end(), {"--quiet", "--out", out});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Output, IsReplacedOnlyByForce) {
  for (const Writer& writer : writers()) {
    SCOPED_TRACE(writer.name);
    const TemporaryFolder folder;
    const fs::path out = folder / "out";
    EXPECT_EQ(run_program(to(writer, out)).status, 0);
    const auto kept = fs::last_write_time(out);
    expect_refused(to(writer, out, {"--json"}), 1, {"out", "already", "--force"});
    EXPECT_EQ(fs::last_write_time(out), kept);
    const ProgramResult forced = run_program(to(writer, out, {"--force"}));
    EXPECT_EQ(forced.status, 0) << forced.err;
    EXPECT_NE(fs::last_write_time(out), kept);
    EXPECT_EQ(names_in(folder.path()), Words{"out"});
  }
}

TEST(Output, IsNothingWhereTheDiskIsFull) {
  for (const Writer& writer : writers()) {
    SCOPED_TRACE(writer.name);
    const TemporaryFolder folder;
    const ProgramOptions full = {.input = "", .environment = {}, .file_limit = writer.most};
    expect_refused(to(writer, folder / "out"), 1, {"out", "File too large"}, full);
    EXPECT_EQ(names_in(folder.path()), Words{});
    // What was there stays.
    put(folder / "out", "kept");
    if (!writer.folder) {
      expect_refused(to(writer, folder / "out", {"--force"}), 1, {"out"}, full);
      EXPECT_EQ(names_in(folder.path()), Words{"out"});
      EXPECT_EQ(read_file(folder / "out"), "kept");
    }
  }
}

TEST(Output, IsNothingBelowAFileOrInPlaceOfAFolderOrDevice) {
  for (const Writer& writer : writers()) {
    SCOPED_TRACE(writer.name);
    const TemporaryFolder folder;
    put(folder / "file", "kept");
    put(folder / "folder" / "inside", "kept");
    expect_refused(to(writer, folder / "file" / "out", {"--force"}), 1, {"file"});
    if (!writer.folder) {
      expect_refused(to(writer, folder / "absent" / "out"), 1, {"absent"});
      expect_refused(to(writer, folder / "folder", {"--force"}), 1, {"is a folder"});
      ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
      expect_refused(to(writer, folder / "pipe", {"--force"}), 1, {"no regular file"});
      EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
      fs::remove(folder / "pipe");
    }
    EXPECT_EQ(names_in(folder.path()), (Words{"file", "folder"}));
    EXPECT_EQ(names_in(folder / "folder"), Words{"inside"});
    EXPECT_EQ(read_file(folder / "file"), "kept");
  }
}

TEST(Output, ARunIsNotPutInPlaceOfOtherThings) {
  const TemporaryFolder folder;
  put(folder / "file", "kept");
  put(folder / "folder" / "inside", "kept");
  const auto train = [&](const fs::path& out) {
    return Words{"train", world().mod_config(), "--data", world().data(), "--out", out, "--json"};
  };
  expect_refused(train(folder / "file"), 1, {"is a file, expected a folder"});
  expect_refused(train(folder / "file" / "run"), 1, {"file"});
  Words forced = train(folder / "folder");
  forced.emplace_back("--force");
  expect_refused(forced, 1, {"not empty and no run"});
  EXPECT_EQ(names_in(folder.path()), (Words{"file", "folder"}));
  EXPECT_EQ(names_in(folder / "folder"), Words{"inside"});
}

TEST(Output, ALostStandardOutputIsAFailure) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full < 0) GTEST_SKIP() << "there is no /dev/full";
  close(full);
  const std::string command = std::string(POINTWORK_PROGRAM) + " flops '" +
                              world().at("configs/mod.toml").string() + "' > /dev/full 2> '" +
                              world().at("err").string() + "'";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  expect_in(read_file(world().at("err")), {"standard output cannot be written"});
}

TEST(Output, ASignalEndsWithItsStatus) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const ProgramResult result = run_program(
        {"bench", "step", world().at("configs/mod.toml"), "--seconds", "40", "--threads", "1"},
        {.input = "", .environment = {}, .signal = signal, .signal_after = 1});
    EXPECT_EQ(result.status, 128 + signal);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find("terminate"), std::string::npos) << result.err;
  }
}

// Everything that a terminal of 100 columns receives, as it was sent.
std::string in_terminal(Words arguments, const char* no_colour) {
  winsize size{.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  termios raw{};
  cfmakeraw(&raw);
  int master = -1;
  arguments = on_one_thread(arguments);
  std::vector<char*> argv{const_cast<char*>(POINTWORK_PROGRAM)};
  for (std::string& one : arguments) argv.push_back(one.data());
  argv.push_back(nullptr);
  const pid_t child = forkpty(&master, nullptr, &raw, &size);
  if (child == 0) {
    setenv("TERM", "xterm-256color", 1);
    no_colour ? setenv("NO_COLOR", no_colour, 1) : unsetenv("NO_COLOR");
    execv(argv[0], argv.data());
    _exit(127);
  }
  std::string all;
  char buffer[4096];
  for (ssize_t got; (got = read(master, buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<size_t>(got));
  int status = 0;
  waitpid(child, &status, 0);
  close(master);
  EXPECT_EQ(status, 0) << all;
  return all;
}

TEST(Output, ATerminalIsRewrittenUnlessItIsRefused) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name) {
    return Words{"train", world().mod_config(), "--data",          world().data(),
                 "--out", folder / name,        "--train.steps=30"};
  };
  const std::string live = in_terminal(train("live"), nullptr);
  expect_in(live, {"\x1b[", "step 30/30", "loss ", "tok/s", "━", "done: "});
  const std::string plain = in_terminal(train("plain"), "1");
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_EQ(plain.find('\r'), std::string::npos);
  expect_in(plain, {"step 30/30", "loss ", "tok/s", "done: "});
  // A pipe gets plain lines in any case, and a quiet run none.
  const ProgramResult piped = run_program(on_one_thread(train("piped")));
  EXPECT_EQ(piped.err.find_first_of("\x1b\r"), std::string::npos);
  EXPECT_EQ(piped.out, "");
  expect_in(piped.err, {"step 30/30"});
  Words quiet = on_one_thread(train("quiet"));
  quiet.emplace_back("--quiet");
  const ProgramResult silent = run_program(quiet);
  EXPECT_EQ(silent.out + silent.err, "");
}

TEST(Output, ColoursShowTheRouting) {
  const Words words = {"sample",           world().run(), "--prompt",      "the",
                       "--max-new-tokens", "5",           "--show-routing"};
  const std::string coloured = in_terminal(words, nullptr), plain = in_terminal(words, "1");
  expect_in(coloured, {"\x1b[38;5;", "\x1b[0m", "share of routed blocks"});
  EXPECT_EQ(coloured.find("₋t"), std::string::npos);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  expect_in(plain, {"₋", "share of routed blocks"});
}

}  // namespace
}  // namespace pointwork::test
