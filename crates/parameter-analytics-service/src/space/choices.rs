//! Choices that come and go while a study runs.

use crate::space::{Choice, Domain, Problem, Space, SpaceError, Value};

impl Domain {
    /// Whether a number is that of a choice that is not retired.
    pub(crate) fn offers(&self, number: f64) -> bool {
        let Self::Categorical { choices } = self else {
            return false;
        };
        let whole = number >= 0.0 && number.fract() == 0.0;
        whole && choices.get(number as usize).is_some_and(|choice| !choice.retired)
    }
}

impl Space {
    /// Adds a choice, or brings a retired one back. Points keep their numbers.
    ///
    /// # Errors
    /// [`Problem::ChoiceTwice`] where it is there, [`Problem::NotCategorical`], [`Problem::Unknown`].
    pub fn add_choice(&mut self, parameter: &str, value: Value) -> Result<(), SpaceError> {
        let fail = |problem| SpaceError::of(parameter, problem);
        if let Value::Number(number) = value
            && !number.is_finite()
        {
            return Err(fail(Problem::NotFinite(number)));
        }
        let choices = self.choices_of(parameter)?;
        match choices.iter_mut().find(|choice| choice.value == value) {
            Some(choice) if choice.retired => choice.retired = false,
            Some(_) => return Err(fail(Problem::ChoiceTwice(value))),
            None => choices.push(Choice { value, retired: false }),
        }
        Ok(())
    }

    /// Takes a choice out of what is tried. What was told about it still counts.
    ///
    /// # Errors
    /// [`Problem::NoSuchChoice`], [`Problem::LastChoice`], [`Problem::NotCategorical`], [`Problem::Unknown`].
    pub fn retire_choice(&mut self, parameter: &str, value: &Value) -> Result<(), SpaceError> {
        let choices = self.choices_of(parameter)?;
        let left = choices.iter().filter(|choice| !choice.retired).count();
        let problem = match choices.iter_mut().find(|choice| choice.value == *value && !choice.retired) {
            None => Problem::NoSuchChoice(value.clone()),
            Some(_) if left == 1 => Problem::LastChoice(value.clone()),
            Some(choice) => {
                choice.retired = true;
                return Ok(());
            }
        };
        Err(SpaceError::of(parameter, problem))
    }

    fn choices_of(&mut self, name: &str) -> Result<&mut Vec<Choice>, SpaceError> {
        match self.parameters.iter_mut().find(|parameter| &*parameter.name == name) {
            None => Err(SpaceError::of(name, Problem::Unknown)),
            Some(parameter) => match &mut parameter.domain {
                Domain::Categorical { choices } => Ok(choices),
                _ => Err(SpaceError::of(name, Problem::NotCategorical)),
            },
        }
    }
}
