//! Which of several arms to choose when each choice teaches something: bandits.
