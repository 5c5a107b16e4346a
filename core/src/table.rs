//! State machines as tables: one macro makes the states, the inputs, the transition function, and what documentation
//! and tests read: the list of transitions and its drawing.

/// Declares a state machine. Pairs that are not listed change nothing.
macro_rules! transitions {
    (
        $(#[$sdoc:meta])* pub enum $State:ident { $($(#[doc = $svdoc:literal])* $state:ident,)* }
        $(#[$idoc:meta])* pub enum $Input:ident { $($(#[doc = $ivdoc:literal])* $input:ident,)* }
        $($from:ident: $($on:ident => $to:ident),* ;)*
    ) => {
        $(#[$sdoc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $State { $($(#[doc = $svdoc])* $state,)* }

        $(#[$idoc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Input { $($(#[doc = $ivdoc])* $input,)* }

        impl $State {
            /// Every state, in the order in which a life passes through them.
            pub const ALL: &[Self] = &[$(Self::$state),*];
            /// Every transition.
            pub const TABLE: &[(Self, $Input, Self)] = &[$($((Self::$from, $Input::$on, Self::$to),)*)*];

            /// Where `input` leads from here; `None` where it changes nothing.
            #[must_use]
            pub const fn on(self, input: $Input) -> Option<Self> {
                match (self, input) {
                    $($((Self::$from, $Input::$on) => Some(Self::$to),)*)*
                    _ => None,
                }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$state => concat!($($svdoc),*).trim_ascii(),)* }
            }
        }

        impl $Input {
            /// Every input.
            pub const ALL: &[Self] = &[$(Self::$input),*];

            /// What it means, in one sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$input => concat!($($ivdoc),*).trim_ascii(),)* }
            }
        }
    };
}

pub(crate) use transitions;
