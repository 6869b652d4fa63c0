#include "pointwork/log/terminal.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cstdlib>

namespace pointwork {
namespace {

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    was_set_ = std::getenv(name) != nullptr;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { was_set_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::string old_;
  bool was_set_ = false;
};

class Pty {
 public:
  explicit Pty(unsigned short columns) {
    winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    int slave = -1;
    if (openpty(&master_, &slave, nullptr, nullptr, &size) == 0) stream_ = fdopen(slave, "w");
  }
  ~Pty() {
    if (stream_) std::fclose(stream_);
    close(master_);
  }
  std::FILE* stream() { return stream_; }

 private:
  int master_ = -1;
  std::FILE* stream_ = nullptr;
};

TEST(Terminal, ColourNeedsATerminalAndNoRefusal) {
  Pty pty(132);
  ASSERT_NE(pty.stream(), nullptr);
  const Variable term("TERM", "xterm-256color"), none("NO_COLOR", nullptr);
  EXPECT_TRUE(is_terminal(pty.stream()));
  EXPECT_TRUE(use_colour(pty.stream()));
  {
    const Variable refused("NO_COLOR", "1");
    EXPECT_FALSE(use_colour(pty.stream()));
  }
  {
    const Variable empty("NO_COLOR", "");
    EXPECT_TRUE(use_colour(pty.stream()));
  }
  {
    const Variable dumb("TERM", "dumb");
    EXPECT_FALSE(use_colour(pty.stream()));
  }
  {
    const Variable unset("TERM", nullptr);
    EXPECT_FALSE(use_colour(pty.stream()));
  }
  std::FILE* file = std::tmpfile();
  EXPECT_FALSE(is_terminal(file));
  EXPECT_FALSE(use_colour(file));
  std::fclose(file);
}

TEST(Terminal, Width) {
  Pty wide(132), narrow(5), unknown(0);
  const Variable columns("COLUMNS", nullptr);
  EXPECT_EQ(terminal_width(wide.stream()), 132);
  EXPECT_EQ(terminal_width(narrow.stream()), 20);
  EXPECT_EQ(terminal_width(unknown.stream()), 80);
  const Variable told("COLUMNS", "61");
  EXPECT_EQ(terminal_width(unknown.stream()), 61);
  EXPECT_EQ(terminal_width(wide.stream()), 132);
}

TEST(Terminal, CharacterLength) {
  EXPECT_EQ(character_length("a", 0), 1u);
  EXPECT_EQ(character_length("é", 0), 2u);
  EXPECT_EQ(character_length("€", 0), 3u);
  EXPECT_EQ(character_length("😀", 0), 4u);
  EXPECT_EQ(character_length("€", 1), 0u);
  EXPECT_EQ(character_length("\xE2\x82", 0), 0u);
  EXPECT_EQ(character_length("\xC0\x80", 0), 0u);
  EXPECT_EQ(character_length("\xE0\x80\x80", 0), 0u);
  EXPECT_EQ(character_length("\xED\xA0\x80", 0), 0u);
  EXPECT_EQ(character_length("\xF4\x90\x80\x80", 0), 0u);
  EXPECT_EQ(character_length("\xFF", 0), 0u);
  EXPECT_EQ(character_length("a", 1), 0u);
}

TEST(Terminal, DisplayWidthAndFit) {
  EXPECT_EQ(display_width("naïve"), 5);
  EXPECT_EQ(display_width("e\xCC\x81"), 1);
  EXPECT_EQ(display_width("漢字"), 4);
  EXPECT_EQ(display_width("😀"), 2);
  EXPECT_EQ(display_width("\xFF\xFE"), 2);
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdef", 5), "abcd…");
  EXPECT_EQ(fit("漢字漢字", 6), "漢字…");
  EXPECT_EQ(fit("漢字", 2), "…");
  EXPECT_EQ(fit("abc", 0), "");
  for (int columns = 1; columns < 12; ++columns) {
    EXPECT_LE(display_width(fit("aé漢😀e\xCC\x81\xFFz漢", columns)), columns);
  }
}

TEST(Terminal, OneLineAndColour) {
  EXPECT_EQ(one_line("a\nb\x1b[2Jc\x7F"), "a b [2Jc ");
  EXPECT_EQ(coloured("x", 33), "\x1b[38;5;33mx\x1b[0m");
  EXPECT_EQ(coloured("x", -1), "x");
}

}  // namespace
}  // namespace pointwork
