#pragma once
// Finds added tokens in text: the leftmost, and of those that begin there the longest.

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "pointwork/text/vocabulary.h"

namespace pointwork {

class AddedTokens {
 public:
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  // Calls ordinary(text) for each stretch between added tokens and token(id) for each of those, in
  // order. Hugging Face's order of looking: first those that are not `normalized`, then, in what is
  // left, the others.
  template <class Ordinary, class Token>
  void divide(std::string_view text, const Ordinary& ordinary, const Token& token) const {
    first_.divide(
        text, [&](std::string_view rest) { second_.divide(rest, ordinary, token); }, token);
  }

 private:
  class Group {
   public:
    void add(const AddedToken& token);
    void sort();
    template <class Ordinary, class Token>
    void divide(std::string_view text, const Ordinary& ordinary, const Token& token) const {
      while (true) {
        const auto [at, found] = find(text);
        if (at > 0) ordinary(text.substr(0, at));
        if (found == nullptr) return;
        token(found->id);
        text.remove_prefix(at + found->content.size());
      }
    }

   private:
    struct Place {
      size_t at;                // text.size() where there is none
      const AddedToken* token;  // nullptr then
    };
    Place find(std::string_view text) const;
    std::array<std::vector<AddedToken>, 256> by_first_;  // byte; longest first
    std::vector<char> firsts_;
  };
  Group first_, second_;
};

}  // namespace pointwork
