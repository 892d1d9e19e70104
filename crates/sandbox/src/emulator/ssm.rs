//! Systems Manager: between the emulator's state view and the section of the picture.

use winterbaume_ssm::SsmStateView;
use winterbaume_ssm::views::{ParameterVersionView, ParameterView};

use super::Emulator;
use crate::picture::ssm::{Parameter, Ssm, Version};

/// Reads all that exists.
pub(super) fn picture_of(view: &SsmStateView) -> Ssm {
    let parameters = view.parameters.values().map(|it| {
        let versions = view.parameter_versions.get(&it.name).into_iter().flatten().map(|of| {
            let mut labels = of.labels.clone();
            labels.sort();
            let version = Version { value: of.value.clone(), labels, modified: date(of.last_modified_date.as_deref()) };
            (of.version, version)
        });
        let parameter = Parameter {
            arn: it.arn.clone(),
            kind: it.r#type.clone(),
            data_type: it.data_type.clone(),
            versions: versions.collect(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.name.clone(), parameter)
    });
    Ssm { parameters: parameters.collect() }
}

fn date(text: Option<&str>) -> jiff::Timestamp {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl Emulator {
    /// Makes a parameter what it is here, or makes it.
    pub(crate) async fn put_parameter(&self, name: &str, parameter: &Parameter) {
        let date = |at: jiff::Timestamp| Some(at.to_string());
        let current = parameter.versions.last_key_value();
        let view_of = ParameterView {
            name: name.to_owned(),
            r#type: parameter.kind.clone(),
            value: parameter.value().to_owned(),
            version: parameter.version(),
            last_modified_date: current.and_then(|(_, version)| date(version.modified)),
            arn: parameter.arn.clone(),
            data_type: parameter.data_type.clone(),
            tags: parameter.tags.clone().into_iter().collect(),
        };
        let versions = parameter.versions.iter().map(|(number, version)| ParameterVersionView {
            name: name.to_owned(),
            r#type: parameter.kind.clone(),
            value: version.value.clone(),
            version: *number,
            last_modified_date: date(version.modified),
            labels: version.labels.clone(),
        });
        let versions = versions.collect();
        self.edit(|view: &mut SsmStateView| {
            view.parameters.insert(name.to_owned(), view_of);
            view.parameter_versions.insert(name.to_owned(), versions);
        })
        .await;
    }

    /// Takes a parameter away, with its history.
    pub(crate) async fn drop_parameter(&self, name: &str) {
        self.edit(|view: &mut SsmStateView| {
            view.parameters.remove(name);
            view.parameter_versions.remove(name);
        })
        .await;
    }
}
