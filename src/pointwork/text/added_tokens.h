#pragma once
// Finds added tokens in text: the leftmost, and of those that begin there the longest.

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/vocabulary.h"

namespace pointwork {

class AddedTokens {
 public:
  using Normalize = std::function<std::string(std::string)>;  // empty: text stays as it is

  explicit AddedTokens(const std::vector<AddedToken>& tokens, Normalize normalize = {});

  // Calls ordinary(text, first) for each stretch between added tokens, normalised, and token(id)
  // for each of those, in order. `first`: the stretch begins the text. Without `special` the
  // special ones are ordinary text. Hugging Face's order of looking: first those that are not
  // `normalized`, then, in what is left and normalised, the others.
  template <class Ordinary, class Token>
  void divide(std::string_view text, bool special, const Ordinary& ordinary,
              const Token& token) const {
    first_.divide(
        text, true, special,
        [&](std::string_view rest, bool first) {
          if (!normalize_) return second_.divide(rest, first, special, ordinary, token);
          second_.divide(normalize_(std::string(rest)), first, special, ordinary, token);
        },
        token);
  }

 private:
  class Group {
   public:
    void add(const AddedToken& token);
    void sort();
    template <class Ordinary, class Token>
    void divide(std::string_view text, bool first, bool special, const Ordinary& ordinary,
                const Token& token) const {
      size_t done = 0;
      for (size_t at = 0; at < text.size();) {
        const Place found = find(text, at);
        if (found.token == nullptr) break;
        const size_t end = found.at + found.token->content.size();
        at = end;
        if (found.token->special && !special) continue;
        const auto [from, to] = extent(text, done, found.at, end, *found.token);
        if (from > to) continue;
        if (done < from) ordinary(text.substr(done, from - done), first && done == 0);
        token(found.token->id);
        done = to;
      }
      if (done < text.size()) ordinary(text.substr(done), first && done == 0);
    }

   private:
    struct Place {
      size_t at;
      const AddedToken* token;  // nullptr where there is none
    };
    struct Extent {
      size_t from, to;  // from > to: not a token here
    };
    Place find(std::string_view text, size_t from) const;
    static Extent extent(std::string_view text, size_t done, size_t begin, size_t end,
                         const AddedToken& token);
    std::array<std::vector<AddedToken>, 256> by_first_;  // byte; longest first
    std::vector<char> firsts_;
  };
  Group first_, second_;
  Normalize normalize_;
};

}  // namespace pointwork
