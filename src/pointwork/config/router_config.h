#pragma once
// What stands between a token and the scores of its choices, and how rounds differ.

#include "pointwork/config/fields.h"

namespace pointwork {

enum class RouterKind { linear, mlp, gru };
template <>
struct EnumNames<RouterKind> {
  static constexpr std::pair<const char*, RouterKind> names[] = {
      {"linear", RouterKind::linear}, {"mlp", RouterKind::mlp}, {"gru", RouterKind::gru}};
};

enum class RouterInput { stream, normalised };
template <>
struct EnumNames<RouterInput> {
  static constexpr std::pair<const char*, RouterInput> names[] = {
      {"stream", RouterInput::stream}, {"normalised", RouterInput::normalised}};
};

struct RouterConfig {
  RouterKind router = RouterKind::linear;
  int64_t router_size = 256;
  int64_t router_projection = 0;
  RouterInput router_input = RouterInput::stream;
  double temperature = 1;
  bool round_embedding = false;
  bool round_bias = false;
  int64_t in_order_steps = 0;
  double in_order_bias = 16;
  bool absorbing = false;

  // It hands something from round to round.
  bool stateful() const { return router == RouterKind::gru || absorbing; }

  bool operator==(const RouterConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("router", self.router,
          {.help = "how scores come about: linear: one matrix; mlp: a hidden layer with ReLU; gru: "
                   "a recurrent cell whose state a token keeps from round to round of a repeat"});
    visit("router_size", self.router_size,
          {.help = "width of the hidden layer or of the state", .min = 1, .max = 1 << 16});
    visit("router_projection", self.router_projection,
          {.help = "width that a gru's input is projected to first, which is cheaper where it is "
                   "below router_size; 0: no projection",
           .min = 0,
           .max = 1 << 16});
    visit("router_input", self.router_input,
          {.help = "stream: what the branch is given (its norm where that stands outside); "
                   "normalised: the same divided by its root mean square"});
    visit("temperature", self.temperature,
          {.help = "what scores are divided by before softmax or sigmoid; below 1 choices are "
                   "sharper",
           .min = 0,
           .above_min = true});
    visit("round_embedding", self.round_embedding,
          {.help = "a learned vector for each round of the repeat around, added to the router's "
                   "input"});
    visit("round_bias", self.round_bias,
          {.help = "a learned number for each round and choice, added to the scores"});
    visit("in_order_steps", self.in_order_steps,
          {.help = "at first round h takes expert h, and a no-op where there is none, by a bias on "
                   "the choice alone that falls to 0 in this many steps; 0: no such bias",
           .unit = "steps",
           .min = 0,
           .max = 1 << 30});
    visit("in_order_bias", self.in_order_bias,
          {.help = "that bias at step 0, in units of logits", .min = 0, .above_min = true});
    visit("absorbing", self.absorbing,
          {.help = "a token that took a no-op takes no-ops in all later rounds: early exit"});
  }
};

}  // namespace pointwork
