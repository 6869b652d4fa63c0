#include "pointwork/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "pointwork/base/check.h"
#include "pointwork/text/pattern_syntax.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

struct Free {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

// What a match needs besides the code; a run of a million characters needs the stack.
struct Workspace {
  std::unique_ptr<pcre2_match_data, Free> data{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Free> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Free> stack{
      pcre2_jit_stack_create(size_t{32} << 10, size_t{64} << 20, nullptr)};

  Workspace() {
    check(data && context && stack, "out of memory");
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

}  // namespace

struct Pattern::Code {
  pcre2_code* code = nullptr;
  std::string expression;
  ~Code() { pcre2_code_free(code); }
};

Pattern Pattern::regex(std::string_view expression) {
  return compiled(expression, to_pcre2(expression));
}

Pattern Pattern::cluster() { return compiled("\\X", "\\X"); }

Pattern Pattern::compiled(std::string_view expression, const std::string& translated) {
  const auto code = std::make_shared<Code>();
  code->expression = expression;
  int error = 0;
  PCRE2_SIZE place = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &place, nullptr);
  if (code->code == nullptr) {
    std::array<PCRE2_UCHAR, 128> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    fail("regular expression '", expression,
         "' is not valid: ", reinterpret_cast<const char*>(message.data()));
  }
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // where it cannot, matching works without
  Pattern pattern;
  pattern.code_ = code;
  return pattern;
}

Pattern Pattern::literal(std::string_view text) {
  check(!text.empty(), "a pattern must not be empty");
  Pattern pattern;
  pattern.literal_ = text;
  return pattern;
}

std::optional<Pattern::Match> Pattern::find(std::string_view text, size_t at) const {
  if (!code_) {
    const size_t found = text.find(literal_, at);
    if (found == text.npos) return std::nullopt;
    return Match{found, found + literal_.size()};
  }
  thread_local const Workspace workspace;
  const int groups =
      pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                  PCRE2_NO_UTF_CHECK, workspace.data.get(), workspace.context.get());
  if (groups == PCRE2_ERROR_NOMATCH) return std::nullopt;
  check(groups >= 0, "regular expression '", code_->expression, "' gives up at byte ", at, " of ",
        text.size(), ": PCRE2's error ", groups);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(workspace.data.get());
  return Match{ends[0], ends[1]};
}

void Pattern::each(std::string_view text, const std::function<void(Match)>& take) const {
  size_t last = text.npos;
  for (size_t at = 0; at <= text.size();) {
    const std::optional<Match> match = find(text, at);
    if (!match) return;
    at = match->end;
    if (match->begin == match->end) {
      at += at < text.size() ? std::max(1u, utf8_character(text, at).length) : 1;
      if (match->begin == last) continue;
    }
    last = match->end;
    take(*match);
  }
}

}  // namespace pointwork
