//! Features: the numbers that a detector takes together of one entity and window, for a model to judge.

use super::Field;

/// One number of a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name, as people read it: `failed_logins`.
    pub name: String,
    /// What it is made of.
    pub of: FeatureOf,
    /// The selection whose events alone count, of those that the detector selects.
    pub among: Option<String>,
}

/// What a feature is made of. What has no value in a window is missing, which is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureOf {
    /// How many events.
    Count,
    /// The share of events that the selection [`Feature::among`] matches.
    Share,
    /// The sum of a number.
    Sum(Field),
    /// The mean of a number.
    Mean(Field),
    /// The greatest of a number.
    Greatest(Field),
    /// The standard deviation of a number.
    Deviation(Field),
    /// How many different values, or combinations of values.
    Distinct(Vec<Field>),
    /// How many different networks: autonomous systems where they are known, else /24 and /48.
    Networks(Field),
    /// How many values that the entity has not had among its last few hundred.
    New(Vec<Field>),
    /// The mean length of a text, in bytes.
    Length(Field),
    /// The mean entropy of a text's bytes, in bits a byte.
    Entropy(Field),
    /// The mean number of folders in a path.
    Depth(Field),
    /// The mean share of digits among a text's characters.
    Digits(Field),
    /// The mean share of characters that are neither letters nor digits.
    Signs(Field),
    /// The mean length of a text's longest run of letters without a vowel: names that people made can be spoken.
    Consonants(Field),
    /// The hour of the day, in the site's time zone; hours are averaged on the circle of the day.
    Hour,
}

impl Feature {
    /// The largest number of features that a vector has.
    pub const COUNT_MAX: usize = 24;

    /// How many numbers a model sees of it: an hour is a point on a circle.
    pub const fn components(&self) -> usize {
        match self.of {
            FeatureOf::Hour => 2,
            _ => 1,
        }
    }

    /// The fields that it looks at.
    pub fn fields(&self) -> &[Field] {
        match &self.of {
            FeatureOf::Distinct(fields) | FeatureOf::New(fields) => fields,
            FeatureOf::Sum(field)
            | FeatureOf::Mean(field)
            | FeatureOf::Greatest(field)
            | FeatureOf::Deviation(field)
            | FeatureOf::Networks(field)
            | FeatureOf::Length(field)
            | FeatureOf::Entropy(field)
            | FeatureOf::Depth(field)
            | FeatureOf::Digits(field)
            | FeatureOf::Signs(field)
            | FeatureOf::Consonants(field) => std::slice::from_ref(field),
            FeatureOf::Count | FeatureOf::Share | FeatureOf::Hour => &[],
        }
    }

    /// The name in words.
    pub fn words(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// The models that judge vectors and sequences, by the names that definitions use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorModel {
    /// Distance to the nearest of a few vectors, over many small samples.
    Neighbours,
    /// How few random cuts set a vector apart.
    IsolationForest,
    /// How badly small nets make a vector again from fewer numbers.
    Autoencoder,
    /// Which value follows which, and how often each comes.
    Sequence,
}

impl VectorModel {
    /// Every model of vectors.
    pub const OF_VECTORS: [VectorModel; 3] = [
        VectorModel::Neighbours,
        VectorModel::IsolationForest,
        VectorModel::Autoencoder,
    ];

    /// The name, such as `isolation_forest`.
    pub const fn word(self) -> &'static str {
        match self {
            VectorModel::Neighbours => "neighbours",
            VectorModel::IsolationForest => "isolation_forest",
            VectorModel::Autoencoder => "autoencoder",
            VectorModel::Sequence => "sequence",
        }
    }
}
